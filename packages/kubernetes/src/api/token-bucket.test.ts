import { ManualClock } from '@muster/ports';
import { expect, test } from 'vitest';
import { TokenBucket } from './token-bucket.ts';

function start(rate = { perSecond: 50, burst: 100 }) {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, rate);
  const begun: { readonly name: string; readonly atMs: number }[] = [];
  const fromMs = clock.monotonicMs();
  const call = (name: string, isUrgent = true) =>
    void bucket.take(isUrgent).then(() => begun.push({ name, atMs: clock.monotonicMs() - fromMs }));
  return { clock, bucket, begun, call };
}

test('B1: a burst begins at once, the rest at the rate, and what was not used is not saved beyond the burst', async () => {
  const { clock, begun, call } = start();
  for (let n = 0; n < 150; n += 1) call(`c${n}`);
  await clock.run(0);
  expect(begun).toHaveLength(100);
  await clock.run(500);
  expect(begun).toHaveLength(125);
  await clock.run(60_000);
  expect(begun).toHaveLength(150);
  for (let n = 0; n < 150; n += 1) call(`d${n}`);
  await clock.run(0);
  expect(begun).toHaveLength(250);
});

test('B2: the urgent go first, each kind in its order', async () => {
  const { clock, begun, call } = start({ perSecond: 10, burst: 1 });
  call('first');
  call('idle 1', false);
  call('idle 2', false);
  call('urgent 1');
  call('urgent 2');
  await clock.run(1_000);
  expect(begun.map(({ name }) => name)).toEqual(['first', 'urgent 1', 'urgent 2', 'idle 1', 'idle 2']);
});

test('B3: nothing begins while the server wants to be left alone, and a shorter wish does not cut a longer one', async () => {
  const { clock, bucket, begun, call } = start();
  bucket.pause(5_000);
  bucket.pause(1_000);
  call('a');
  await clock.run(4_999);
  expect(begun).toEqual([]);
  await clock.run(1);
  expect(begun).toEqual([{ name: 'a', atMs: 5_000 }]);
});
