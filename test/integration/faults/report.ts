import type { HistoryEvent } from '../support/history.ts';

/** One fault as it went. */
export interface FaultRow {
  readonly fault: string;
  /** The longest that a pool gave nothing to anybody, from the fault until all were served again. */
  readonly outageMs: number;
  /** Lines of the history meanwhile. */
  readonly operations: number;
}

/** What a run comes to, as a table. */
export interface Counted {
  readonly rows: readonly FaultRow[];
  readonly operations: number;
  readonly grants: number;
  readonly refusals: number;
  readonly tookMs: number;
  readonly violations: readonly string[];
}

/** The longest time without a grant in any one pool, from the last one before `fromMs` to `toMs`. */
export function longestGap(events: readonly HistoryEvent[], fromMs: number, toMs: number): number {
  const poolOf = new Map<string, string>();
  const grants = new Map<string, number[]>();
  for (const event of events) {
    if (event.type === 'asked') poolOf.set(event.request, event.pool ?? '');
    if (event.type !== 'granted') continue;
    const pool = poolOf.get(event.request) ?? '';
    const all = grants.get(pool) ?? [];
    all.push(event.atMs);
    grants.set(pool, all);
  }
  let longest = 0;
  for (const all of grants.values()) {
    const within = all.filter((atMs) => atMs > fromMs && atMs <= toMs);
    let last = all.filter((atMs) => atMs <= fromMs).at(-1) ?? fromMs;
    for (const atMs of [...within, toMs]) {
      longest = Math.max(longest, atMs - last);
      last = atMs;
    }
  }
  return longest;
}

/** The run as Markdown: what was injected, what it cost, and that nobody was wronged. */
export function tableOf({ rows, operations, grants, refusals, tookMs, violations }: Counted): string {
  const byFault = [...Map.groupBy(rows, ({ fault }) => fault)].toSorted(([one], [other]) => one.localeCompare(other));
  const lines = byFault.map(([fault, all]) => {
    const outages = all.map(({ outageMs }) => outageMs).toSorted((one, other) => one - other);
    const done = all.reduce((sum, { operations: each }) => sum + each, 0);
    return [fault, String(all.length), String(done), ms(median(outages)), ms(outages.at(-1) ?? 0)];
  });
  const table = [['fault', 'times', 'operations', 'outage, median', 'outage, longest'], ...lines];
  const widths = table[0]?.map((_, at) => Math.max(...table.map((row) => row[at]?.length ?? 0))) ?? [];
  const rendered = table.map((row) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`);
  rendered.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return [
    ...rendered,
    '',
    `${rows.length} faults, ${operations} operations, ${grants} grants, ${refusals} refused or taken back, in ${Math.round(tookMs / 1_000)} s; violations: ${violations.length}`,
    ...violations,
  ].join('\n');
}

function median(sorted: readonly number[]): number {
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? sorted[0] ?? 0)) / 2;
}

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}
