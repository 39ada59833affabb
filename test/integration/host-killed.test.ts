// Workers outlive the agent that started them (DESIGN 8).
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { QueryLoop, query } from './support/queries.ts';

/** Longer than a client on a busy machine stands still. */
const LEASE_MS = 10_000;

it('workers serve on when their host agent is killed; it finds them again, and they are released and replaced', async () => {
  await using cluster = await startCluster({ replicas: 2, host: 'process', pools: { duckdb: duckdbPool({ floor: 2 }) } });
  await cluster.warm('duckdb', 2);
  await using client = await cluster.client();
  const reservation = await client.reserve('duckdb', { org: 'acme', ttlMs: LEASE_MS });
  const reservedMs = performance.now();
  const queries = new QueryLoop(reservation);
  await queries.more(3);
  const before = await cluster.slotsIn('duckdb', ['reserved.active', 'warm', 'warm']);

  await cluster.host.kill();
  await queries.more(10);
  // What is warm is given out without an agent, too.
  const second = await client.reserve('duckdb', { org: 'other', ttlMs: LEASE_MS });
  expect(before.map(({ slot }) => slot)).toContain(second.slot);
  expect(await query(second, 'SELECT 42')).toEqual([[42]]);
  expect(new Set(cluster.workerPids())).toEqual(new Set(before.map(({ pid }) => pid)));

  await cluster.startHost('process');
  // The floor is refilled by the agent that is there now; all that ran before runs on.
  const after = await cluster.slotsIn('duckdb', ['reserved.active', 'reserved.active', 'warm', 'warm']);
  for (const { slot, pid } of before) expect(after.find((one) => one.slot === slot)).toMatchObject({ pid });
  await eventually(async () => expect(new Set(await cluster.runningSlots())).toEqual(new Set(after.map(({ slot }) => slot))), SLOW);
  await queries.more(3);
  // The first one's lease is over: it lives on renewals.
  await eventually(() => performance.now() - reservedMs > 1.5 * LEASE_MS, SLOW);
  expect(await queries.stop()).toBeGreaterThan(15);
  expect([reservation.lostReason, second.lostReason]).toEqual([undefined, undefined]);

  // The agent stops what it did not start itself.
  await Promise.all([reservation.release(), second.release()]);
  await cluster.admin({ type: 'drain', slot: second.slot });
  await eventually(async () => expect((await cluster.slots('duckdb')).map(({ slot }) => slot)).not.toContain(second.slot), SLOW);
  const gone = before.find(({ slot }) => slot === second.slot);
  expect(cluster.workerPids()).not.toContain(gone?.pid);
  await cluster.slotsIn('duckdb', ['reserved.parked', 'warm', 'warm']);
});
