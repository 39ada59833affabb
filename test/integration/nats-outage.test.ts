// Losing NATS stops new decisions, and no worker (guarantees G7 and G10).
import { setTimeout as passed } from 'node:timers/promises';
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { isLong } from './support/config.ts';
import { QueryLoop } from './support/queries.ts';

/** Longer than the lease, and than the silence after which a worker counts as unreachable. */
const OUTAGE_MS = isLong ? 90_000 : 15_000;
const LEASE_MS = 12_000;

it('workers serve their holders through an outage of NATS; no reservation is lost, and everything goes on', { timeout: 300_000 }, async ({
  annotate,
}) => {
  await using cluster = await startCluster({
    replicas: 2,
    host: 'process',
    pools: { duckdb: duckdbPool({ floor: 1, leaseTtl: `${LEASE_MS}ms` }) },
  });
  await cluster.warm('duckdb', 1);
  await using client = await cluster.client();
  const renewed = await client.reserve('duckdb', { org: 'acme', waitMs: 60_000 });
  const asked = await cluster.reserve('duckdb', { org: 'other', requestId: 'other', waitMs: 60_000 });
  if (!asked.ok) throw new Error(JSON.stringify(asked));
  const loops = [new QueryLoop(renewed), new QueryLoop(asked.reservation)];
  // As one does by hand, for as long as it takes: a worker that starts may take longer than a lease.
  const renewing = async <T>(until: Promise<T>): Promise<T> => {
    let isOver = false;
    const end = until.finally(() => (isOver = true));
    while (!isOver) {
      expect(await cluster.settle('renew', asked.reservation)).toMatchObject({ ok: true });
      await Promise.race([end, passed(LEASE_MS / 6)]);
    }
    return end;
  };
  const before = await renewing(cluster.slotsIn('duckdb', ['reserved.active', 'reserved.active', 'warm']));
  await renewing(Promise.all(loops.map((loop) => loop.more(3))));

  await cluster.settle('renew', asked.reservation);
  await cluster.nats.stop();
  await expect(cluster.reserveOnce('duckdb', { org: 'late' }, 2_000)).rejects.toMatchObject({ retryable: true });
  await passed(OUTAGE_MS);
  await Promise.all(loops.map((loop) => loop.more(3)));
  await cluster.nats.start();

  // A lease that could not be renewed meanwhile has not run on.
  await eventually(async () => expect(await cluster.settle('renew', asked.reservation)).toMatchObject({ ok: true }), SLOW);
  const late = cluster.reserve('duckdb', { org: 'late', requestId: 'late', waitMs: 60_000, ttlMs: 600_000 });
  expect(await renewing(late)).toMatchObject({ ok: true });
  const after = await renewing(cluster.slotsIn('duckdb', ['reserved.active', 'reserved.active', 'reserved.active', 'warm']));
  const kept = before.filter(({ reservation }) => reservation !== null);
  expect(kept.length).toBe(2);
  for (const { slot, pid, reservation, epoch } of kept) {
    expect(after.find((one) => one.slot === slot)).toMatchObject({ pid, reservation, epoch, state: 'reserved.active' });
  }
  expect(renewed.lostReason).toBeUndefined();
  expect(await cluster.settle('renew', renewed)).toMatchObject({ ok: true });
  const answered = await renewing(Promise.all(loops.map((loop) => loop.stop())));
  await annotate(`${answered.join(' and ')} rounds of queries through ${OUTAGE_MS} ms without NATS`);

  await renewed.release();
  expect(await cluster.settle('release', asked.reservation)).toMatchObject({ ok: true });
  await eventually(async () => {
    const slots = await cluster.slots('duckdb');
    expect(slots.map(({ state }) => state).sort()).toEqual(['reserved.active', 'reserved.parked', 'reserved.parked', 'warm']);
    expect(new Set(await cluster.runningSlots())).toEqual(new Set(slots.map(({ slot }) => slot)));
  }, SLOW);
});
