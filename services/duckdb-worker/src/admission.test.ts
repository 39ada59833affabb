import { expect, test } from 'vitest';
import { Admission, TooManyQueries } from './admission.ts';
import { Interrupted, Interruption } from './interruption.ts';

test('lets so many run, queues so many, refuses the next, and goes on in order', async () => {
  const admission = new Admission(1, 2);
  const order: string[] = [];
  const leave = await admission.enter(new Interruption());
  const second = admission.enter(new Interruption()).then((done) => (order.push('second'), done));
  const third = admission.enter(new Interruption()).then((done) => (order.push('third'), done));
  await expect(admission.enter(new Interruption())).rejects.toBeInstanceOf(TooManyQueries);
  expect([admission.running, admission.waiting]).toEqual([1, 2]);
  leave();
  leave();
  (await second)();
  (await third)();
  expect(order).toEqual(['second', 'third']);
  expect([admission.running, admission.waiting]).toEqual([0, 0]);
});

test('one that is interrupted while it waits leaves its place, and nothing runs in it', async () => {
  const admission = new Admission(1, 1);
  const leave = await admission.enter(new Interruption());
  const interruption = new Interruption();
  const waiting = admission.enter(interruption);
  interruption.interrupt('timeout');
  await expect(waiting).rejects.toEqual(new Interrupted('timeout'));
  expect(admission.waiting).toBe(0);
  leave();
  expect(admission.running).toBe(0);
});
