import { SeededRandom } from '@muster/ports';
import { describe, expect, it } from 'vitest';
import { type Query, ROWS, Workload } from './workload.ts';

const queries = (workload: Workload, count: number): Query[] => Array.from({ length: count }, () => workload.next());
const next = (workload: Workload, kind: Query['kind']): Query => {
  for (;;) {
    const query = workload.next();
    if (query.kind === kind) return query;
  }
};

describe('Workload', () => {
  it('mixes 8 point look-ups, 1 aggregate and 1 insert', () => {
    const kinds = queries(new Workload(3, new SeededRandom(1)), 1_000).map(({ kind }) => kind);
    const count = (kind: Query['kind']) => kinds.filter((one) => one === kind).length;
    expect([count('lookup'), count('aggregate'), count('insert')]).toEqual([800, 100, 100]);
  });

  it('knows the row of every key, and takes no other', () => {
    const workload = new Workload(3, new SeededRandom(1));
    const lookup = next(workload, 'lookup');
    const key = lookup.params[0] ?? -1;
    const amount = (key * 7 + 3) % 1_000;
    expect(key).toBeGreaterThanOrEqual(0);
    expect(key).toBeLessThan(ROWS);
    // A BIGINT comes as a string.
    expect(lookup.verify([[String(key), 3, String(amount)]])).toBeUndefined();
    expect(lookup.verify([[key, 3, amount + 1]])).toMatchObject({ isForeign: false });
    expect(lookup.verify([])).toMatchObject({ isForeign: false });
    expect(lookup.verify([[key, 4, amount]])).toMatchObject({ isForeign: true });
  });

  it('takes an aggregate that has every insert that was answered, and at most those that were sent', () => {
    const workload = new Workload(3, new SeededRandom(1));
    const rows = (count: number, tenant = 3) => [[String(count), String(count * tenant), tenant, tenant]];
    next(workload, 'insert').verify([]);
    const open = next(workload, 'insert');
    const aggregate = next(workload, 'aggregate');
    expect(aggregate.verify(rows(ROWS))).toMatchObject({ isForeign: false });
    expect(aggregate.verify(rows(ROWS + 1))).toBeUndefined();
    expect(aggregate.verify(rows(ROWS + 2))).toBeUndefined();
    expect(aggregate.verify(rows(ROWS + 3))).toMatchObject({ isForeign: false });
    open.verify([]);
    expect(next(workload, 'aggregate').verify(rows(ROWS + 1))).toMatchObject({ isForeign: false });
  });

  it('sees rows of another tenant in an aggregate', () => {
    const aggregate = next(new Workload(3, new SeededRandom(1)), 'aggregate');
    expect(aggregate.verify([[String(ROWS), String(ROWS * 3 + 1), 3, 4]])).toMatchObject({ isForeign: true });
    expect(aggregate.verify([])).toMatchObject({ isForeign: false });
  });

  it('inserts no key twice', () => {
    const inserts = queries(new Workload(1, new SeededRandom(1)), 500).filter(({ kind }) => kind === 'insert');
    expect(new Set(inserts.map(({ params }) => params[0])).size).toBe(inserts.length);
    expect(inserts.every(({ params }) => (params[0] ?? 0) >= ROWS)).toBe(true);
  });
});
