// The quick run of the simulator, and that it can be trusted to replay. `npm run simulate` runs more seeds.
import { expect, test } from 'vitest';
import { planOf, withFaults } from './plan.ts';
import { failureLines } from './report.ts';
import { simulate } from './simulation.ts';

/** In tens, so that a failure names few. */
const BATCHES = Array.from({ length: 6 }, (_, batch) => batch * 10 + 1);

test.each(BATCHES)('nothing that is promised is broken: ten seeds from %i', { timeout: 60_000 }, async (from) => {
  for (let seed = from; seed < from + 10; seed += 1) {
    const result = await simulate(planOf(seed));
    if (result.violation !== undefined) expect.fail(failureLines(result, undefined).join('\n'));
    expect(result.steps).toBeGreaterThan(1_000);
  }
});

/** Seeds of long runs that showed what was wrong, with the faults that it took. */
const PINNED = [
  [1034, [2, 3, 13, 17, 18], 'a journal that NATS lost whole begins again with lower epochs, and its cuts count'],
  [1567, [1, 2, 3, 6], "an owner that finds its link again appends nothing on top of another's record at its place"],
  [1080, [2, 3, 9], 'nor does it write a snapshot there, of what it has read anew'],
] as const;

test.each(PINNED)('seed %i, faults %j: %s', async (seed, faults) => {
  const result = await simulate(withFaults(planOf(seed), faults));
  if (result.violation !== undefined) expect.fail(failureLines(result, faults).join('\n'));
});

test('one seed is one trace, and another seed another', { timeout: 30_000 }, async () => {
  const first = await simulate(planOf(5));
  const again = await simulate(planOf(5));
  const other = await simulate(planOf(6));
  expect(again).toEqual(first);
  expect(other.hash).not.toBe(first.hash);
});

test('a plan with fewer faults is the same plan but for them', () => {
  const plan = planOf(7);
  const fewer = withFaults(plan, [1, 3]);
  expect(fewer.faults).toEqual([plan.faults[1], plan.faults[3]]);
  expect({ ...fewer, faults: plan.faults }).toEqual(plan);
});
