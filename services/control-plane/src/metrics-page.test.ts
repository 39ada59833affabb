import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const ROOT = new URL('../../../', import.meta.url).pathname;
/** `counter({ name: 'muster_…', help: …, labels: [...]` as every instrument is made. */
const INSTRUMENT = /\.(counter|gauge|histogram)\(\{\s*name: '(muster_\w+)',\s*help:\s*(?:'[^']*'|"[^"]*")(?:,\s*labels: \[([^\]]*)\])?/g;

function made(): readonly string[] {
  const files = globSync('{packages,services}/*/src/**/*.ts', { cwd: ROOT }).filter((file) => !file.endsWith('.test.ts'));
  return files.flatMap((file) =>
    [...readFileSync(`${ROOT}${file}`, 'utf8').matchAll(INSTRUMENT)].map(([, kind, name, labels = '']) => {
      const shown = [...labels.matchAll(/'(\w+)'/g)].map(([, label]) => `\`${label}\``).join(', ');
      return `\`${name}\` ${kind} (${shown})`;
    }),
  );
}

test('the page lists exactly the metrics that are made, with their kinds and labels', () => {
  const page = readFileSync(`${ROOT}docs/reference/metrics.md`, 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `muster_'));
  const listed = rows
    .map((row) => row.split('|').map((cell) => cell.trim()))
    .map(([, name, kind, labels]) => `${name} ${kind} (${labels})`);
  expect(listed.toSorted()).toEqual(made().toSorted());
});

/** As they are in deploy/prometheus/alerts.yaml. */
function alertingRules(): readonly { readonly alert: string; readonly expr: string }[] {
  const { groups } = parse(readFileSync(`${ROOT}deploy/prometheus/alerts.yaml`, 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
  };
  return groups.flatMap((group) => group.rules);
}

test('the alerting rules are on metrics that are made, and have labels that those have', () => {
  expect(alertingRules().map(({ alert }) => alert)).toContain('MusterRunsCold');
  const runbooks = readFileSync(`${ROOT}docs/runbooks/README.md`, 'utf8');
  for (const { alert, expr } of alertingRules()) {
    expect(runbooks, 'what to do').toContain(`\n## ${alert}: `);
    const names = [...expr.matchAll(/muster_\w+/g)].map(([name]) => name.replace(/_(count|sum|bucket)$/, ''));
    const labels = [...expr.matchAll(/(\w+)(?:(?:=~?|!=|!~)")|by \(([^)]*)\)/g)].flatMap(
      ([, one, several]) => one ?? several?.split(', ') ?? [],
    );
    expect(names.length, alert).toBeGreaterThan(0);
    for (const name of names) {
      const [listed] = made().filter((line) => line.startsWith(`\`${name}\` `));
      expect(listed, `${alert}: ${name}`).toBeDefined();
      for (const label of labels) expect(listed, `${alert}: ${name}`).toContain(`\`${label}\``);
    }
  }
});

test('the cases for promtool are on series that replicas show, and have each rule fire and be silent', () => {
  const { tests } = parse(readFileSync(`${ROOT}deploy/prometheus/alerts.test.yaml`, 'utf8')) as {
    readonly tests: readonly {
      readonly input_series: readonly { readonly series: string }[];
      readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts?: readonly unknown[] }[];
    }[];
  };
  for (const { series } of tests.flatMap(({ input_series: all }) => all)) {
    const [, name = '', shown = ''] = /^(\w+)\{(.*)\}$/.exec(series) ?? [];
    const [listed] = made().filter((line) => line.startsWith(`\`${name.replace(/_(count|sum|bucket)$/, '')}\` `));
    expect(listed, series).toBeDefined();
    const labels = [...shown.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => label !== 'instance');
    for (const label of labels) expect(listed, series).toContain(`\`${label}\``);
  }
  const cases = tests.flatMap(({ alert_rule_test: all }) => all);
  for (const { alert } of alertingRules()) {
    const ofRule = cases.filter(({ alertname }) => alertname === alert);
    expect(new Set(ofRule.map(({ exp_alerts: expected = [] }) => expected.length > 0)), alert).toEqual(new Set([true, false]));
  }
});
