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

test('the alerting rules are on metrics that are made, and have labels that those have', () => {
  const { groups } = parse(readFileSync(`${ROOT}deploy/prometheus/alerts.yaml`, 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
  };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.map(({ alert }) => alert)).toContain('MusterRunsCold');
  for (const { alert, expr } of rules) {
    const names = [...expr.matchAll(/muster_\w+/g)].map(([name]) => name.replace(/_(count|sum|bucket)$/, ''));
    const labels = [...expr.matchAll(/(\w+)(?:=~?")|by \(([^)]*)\)/g)].flatMap(([, one, several]) => one ?? several?.split(', ') ?? []);
    expect(names.length, alert).toBeGreaterThan(0);
    for (const name of names) {
      const [listed] = made().filter((line) => line.startsWith(`\`${name}\` `));
      expect(listed, `${alert}: ${name}`).toBeDefined();
      for (const label of labels) expect(listed, `${alert}: ${name}`).toContain(`\`${label}\``);
    }
  }
});
