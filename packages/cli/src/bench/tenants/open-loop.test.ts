import { ManualClock } from '@muster/ports';
import { expect, test } from 'vitest';
import { openLoop } from './open-loop.ts';

test('starts each when it is due, skips what is beyond those under way, and waits for the last', async () => {
  const clock = new ManualClock();
  const end = new AbortController();
  const open: (() => void)[] = [];
  const due: boolean[] = [];
  let isDone = false;
  const loop = openLoop({
    clock,
    perSecond: 10,
    inFlightMax: 2,
    signal: end.signal,
    run: () => new Promise((resolve) => open.push(resolve)),
    due: (_dueMs, isSkipped) => due.push(isSkipped),
  }).then(() => {
    isDone = true;
  });
  await clock.run(350);
  expect(due).toEqual([false, false, true, true]);
  open.shift()?.();
  await clock.run(100);
  expect(due).toEqual([false, false, true, true, false]);
  end.abort();
  await clock.run(1_000);
  expect(due).toHaveLength(5);
  expect(isDone).toBe(false);
  for (const finish of open) finish();
  await loop;
  expect(isDone).toBe(true);
});
