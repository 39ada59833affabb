import { expect, it } from 'vitest';
import type { HistoryEvent } from '../support/history.ts';
import { longestGap, tableOf } from './report.ts';

const asked = (request: string, pool: string): HistoryEvent => ({ atMs: 0, type: 'asked', request, pool });
const granted = (request: string, atMs: number): HistoryEvent => ({ atMs, type: 'granted', request, slot: request, epoch: 1 });

it('an outage is the longest time without a grant in one pool, also where another one goes on', () => {
  const events = [
    ...['a', 'b', 'c'].map((request) => asked(request, 'p')),
    ...['x', 'y', 'z'].map((request) => asked(request, 'q')),
    granted('a', 90),
    granted('x', 99),
    granted('y', 150),
    granted('b', 700),
    granted('z', 720),
    granted('c', 800),
  ];
  expect(longestGap(events, 100, 900)).toBe(610);
  // Until the end nobody was served.
  expect(longestGap(events, 100, 2_000)).toBe(1_280);
  expect(longestGap(events, 800, 801)).toBe(81);
});

it('a run is a table of its faults, with the violations below', () => {
  const rows = [100, 300, 200].map((outageMs) => ({ fault: 'replica killed', outageMs, operations: 10 }));
  const counted = { rows: [...rows, { fault: 'link cut', outageMs: 40, operations: 5 }], operations: 35, grants: 20, refusals: 3 };
  expect(tableOf({ ...counted, tookMs: 61_000, violations: ['H1: a'] })).toBe(
    [
      '| fault          | times | operations | outage, median | outage, longest |',
      '| -------------- | ----- | ---------- | -------------- | --------------- |',
      '| link cut       | 1     | 5          | 40 ms          | 40 ms           |',
      '| replica killed | 3     | 30         | 200 ms         | 300 ms          |',
      '',
      '4 faults, 35 operations, 20 grants, 3 refused or taken back, in 61 s; violations: 1',
      'H1: a',
    ].join('\n'),
  );
});
