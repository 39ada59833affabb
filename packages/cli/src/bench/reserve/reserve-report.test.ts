import { expect, test } from 'vitest';
import { LatencyHistogram } from '../measure/latency-histogram.ts';
import { GrantLog } from './grant-log.ts';
import type { LoadResult } from './load-messages.ts';
import { roundFigures, sideFigures } from './reserve-report.ts';

const latencies = (...ms: number[]) => {
  const histogram = new LatencyHistogram();
  for (const one of ms) histogram.record(one);
  return histogram.data();
};
const result = (more: Partial<LoadResult>): LoadResult => ({
  cycles: 0,
  offered: 0,
  cycle: latencies(),
  reserve: latencies(),
  release: latencies(),
  late: latencies(),
  allAnsweredMs: 0,
  misses: 0,
  errors: 0,
  errorSamples: [],
  grants: new GrantLog().take(),
  refusedReleases: [],
  ...more,
});

test('a round is what all processes did together', () => {
  const parts = [
    result({ cycles: 100, cycle: latencies(1, 1), misses: 1 }),
    result({ cycles: 50, cycle: latencies(9), errors: 2, offered: 7 }),
  ];
  const figures = roundFigures('muster', 1, 500, parts, 0.5);
  expect(figures).toMatchObject({ perSecond: 300, misses: 1, errors: 2, offered: 7, allAnsweredMs: null });
  expect(figures.p50Ms).toBeCloseTo(1, 1);
  expect(figures.p99Ms).toBe(9);
});

test('a burst is over when its last process is, and has no rate', () => {
  const parts = [result({ allAnsweredMs: 20, reserve: latencies(20) }), result({ allAnsweredMs: 30, reserve: latencies(30) })];
  expect(roundFigures('muster', 1, 1, parts, 0)).toMatchObject({ perSecond: null, allAnsweredMs: 30 });
});

test('a side is the median of its rounds, with counts added up', () => {
  const round = (target: 'muster' | 'skeleton', cycles: number) => roundFigures(target, 1, 1_000, [result({ cycles, misses: 1 })], 0);
  const rounds = [round('muster', 10), round('skeleton', 1_000), round('muster', 90), round('muster', 20)];
  expect(sideFigures(rounds, 'muster')).toMatchObject({ perSecond: 20, misses: 3, p50Ms: null });
  expect(sideFigures(rounds, 'skeleton')).toMatchObject({ perSecond: 1_000 });
  expect(sideFigures([], 'skeleton')).toMatchObject({ perSecond: null, misses: 0 });
});
