import { expect, test } from 'vitest';
import { ManualClock } from './manual-clock.ts';

test('timers fire in the order of their due time, those of one instant as they were set, each at its time', () => {
  const clock = new ManualClock({ wallMs: 1000 });
  const fired: [string, number][] = [];
  const set = (name: string, delayMs: number) => clock.setTimer(delayMs, () => fired.push([name, clock.monotonicMs()]));
  set('late', 30);
  set('first of two', 10);
  set('second of two', 10);
  set('now', 0);
  clock.setTimer(5, () => set('nested', 5));
  clock.advance(20);
  expect(fired).toEqual([
    ['now', 0],
    ['first of two', 10],
    ['second of two', 10],
    ['nested', 10],
  ]);
  expect([clock.monotonicMs(), clock.wallMs(), clock.pendingTimers, clock.nextDueMs]).toEqual([20, 1020, 1, 30]);
});

test('a timer that was taken back does not fire, also when it is taken back at its instant', () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const second = () => fired.push('second');
  let timer = clock.setTimer(20, second);
  clock.setTimer(10, () => timer.cancel());
  timer = clock.setTimer(10, second);
  clock.advance(10);
  timer.cancel();
  expect(fired).toEqual([]);
  expect(clock.pendingTimers).toBe(1);
});

test('order holds for many timers', () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  for (let at = 0; at < 1000; at++) {
    const dueMs = (at * 7919) % 1009;
    clock.setTimer(dueMs, () => fired.push(dueMs));
  }
  clock.advance(2000);
  expect(fired).toHaveLength(1000);
  expect(fired).toEqual(fired.toSorted((one, other) => one - other));
});

test('what a jump passes over fires late, at the next step', async () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  clock.setTimer(10, () => fired.push(clock.monotonicMs()));
  clock.jump(100);
  expect(fired).toEqual([]);
  await clock.run(0);
  expect(fired).toEqual([100]);
});

test('promises go on between two timers', async () => {
  const clock = new ManualClock();
  const pass = (ms: number) => new Promise<void>((resolve) => clock.setTimer(ms, resolve));
  const seen: [string, number][] = [];
  const loop = async (name: string, ms: number) => {
    for (let at = 0; at < 3; at++) {
      await pass(ms);
      seen.push([name, clock.monotonicMs()]);
    }
  };
  const done = Promise.all([loop('a', 10), loop('b', 15)]);
  await clock.resolve(done);
  expect(seen).toEqual([
    ['a', 10],
    ['b', 15],
    ['a', 20],
    ['b', 30],
    ['a', 30],
    ['b', 45],
  ]);
  expect(clock.monotonicMs()).toBe(45);
});

test('waiting for what never comes ends with a reason, and so does a world that never rests', async () => {
  const clock = new ManualClock();
  await expect(clock.runUntil(() => false)).rejects.toThrow('not reached');
  const again = () => void clock.setTimer(10, again);
  again();
  await expect(clock.runUntilIdle(1000)).rejects.toThrow('not reached');
  await expect(clock.resolve(Promise.reject(new Error('said so')))).rejects.toThrow('said so');
  const atOnce = () => void clock.setTimer(0, atOnce);
  atOnce();
  expect(() => clock.advance(1)).toThrow('time does not pass');
});
