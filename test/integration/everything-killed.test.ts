// Everything but the workers ends at once, and comes back on what NATS has stored (DESIGN 4.1, 8).
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { query } from './support/queries.ts';

it('reservations and workers are there again after kill -9 of all but the workers, and nothing leaks', async () => {
  await using cluster = await startCluster({ replicas: 2, host: 'process', pools: { duckdb: duckdbPool({ floor: 1 }) } });
  await cluster.warm('duckdb', 1);
  const granted = [];
  for (const org of ['acme', 'other']) {
    const answer = await cluster.reserve('duckdb', { org, requestId: org, waitMs: 60_000, ttlMs: 300_000 });
    if (!answer.ok) throw new Error(JSON.stringify(answer));
    granted.push(answer.reservation);
  }
  const [first, second] = granted;
  if (first === undefined || second === undefined) throw new Error('two were granted');
  await query(first, 'CREATE TABLE kept AS SELECT 7 AS n');
  const before = await cluster.slotsIn('duckdb', ['reserved.active', 'reserved.active', 'warm']);

  await cluster.nats.kill();
  await Promise.all([...cluster.replicas.keys()].map((id) => cluster.killReplica(id)));
  await cluster.host.kill();
  expect(await query(first, 'SELECT n FROM kept')).toEqual([[7]]);
  expect(cluster.workerPids().length).toBe(3);

  await cluster.nats.start();
  await Promise.all([cluster.startReplica(), cluster.startReplica(), cluster.startHost('process')]);
  const after = await cluster.slotsIn('duckdb', ['reserved.active', 'reserved.active', 'warm']);
  const shown = ({ slot, state, pid, org, epoch, reservation }: (typeof after)[number]) => ({ slot, state, pid, org, epoch, reservation });
  expect(after.map(shown)).toEqual(before.map(shown));

  for (const reservation of granted) {
    expect(await query(reservation, 'SELECT 1')).toEqual([[1]]);
    expect(await cluster.settle('renew', reservation)).toMatchObject({ ok: true, ttlMs: 300_000 });
  }
  // The same request is the same reservation, with the same token.
  expect(await cluster.reserve('duckdb', { org: 'acme', requestId: 'acme' })).toMatchObject({ ok: true, reservation: first });
  expect(await cluster.settle('release', first)).toMatchObject({ ok: true });
  expect(await cluster.settle('release', first)).toMatchObject({ ok: false, error: { code: 'ended', reason: 'released' } });
  expect(await cluster.settle('release', second)).toMatchObject({ ok: true });
  await eventually(async () => {
    const slots = await cluster.slots('duckdb');
    expect(slots.map(({ state }) => state).sort()).toEqual(['reserved.parked', 'reserved.parked', 'warm']);
    expect(new Set(await cluster.runningSlots())).toEqual(new Set(slots.map(({ slot }) => slot)));
    expect(new Set(cluster.workerPids())).toEqual(new Set(slots.map(({ pid }) => pid)));
  }, SLOW);
  // And it goes on: a parked one comes back to its org.
  expect(await cluster.reserve('duckdb', { org: 'acme', requestId: 'again' })).toMatchObject({
    ok: true,
    source: 'parked',
    reservation: { slot: first.slot, epoch: first.epoch + 1 },
  });
});
