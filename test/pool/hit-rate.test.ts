// Whether a pool runs cold is seen in its metrics: which share of the reservations found a worker at once.
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

test('the hit rate is a metric: what found a worker at once, and what had to wait for one', async () => {
  const cluster = await MemoryCluster.start({
    config: 'pools:\n  duck: { driver: simulated, floor: 2, recycle: same-org }',
    startMs: 2_000,
  });
  const granted = (source: string): number =>
    cluster.any.metrics.distribution('muster_reserve_seconds', { pool: 'duck', outcome: 'granted', source }).count;
  await cluster.untilWarm('duck', 2);
  const grants = [];
  for (const org of ['a', 'b']) grants.push(await cluster.reserveNow('duck', { org, waitMs: 10_000 }));
  expect([granted('warm'), granted('waited'), granted('parked')]).toEqual([2, 0, 0]);
  await cluster.reserveNow('duck', { org: 'c', waitMs: 10_000 });
  expect([granted('warm'), granted('waited')]).toEqual([2, 1]);
  const [first] = grants;
  if (first?.ok !== true) throw new Error('a was not served');
  await cluster.askNow('muster.v1.release', { id: first.reservation.id, epoch: first.reservation.epoch });
  await cluster.reserveNow('duck', { org: 'a', waitMs: 10_000 });
  expect([granted('warm'), granted('waited'), granted('parked')]).toEqual([2, 1, 1]);
});
