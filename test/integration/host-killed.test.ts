// Workers outlive the agent that started them (DESIGN 8).
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { QueryLoop, query } from './support/queries.ts';

it('workers serve on when their host agent is killed; it finds them again, and they are released and replaced', async () => {
  await using cluster = await startCluster({ replicas: 2, host: 'process', pools: { duckdb: duckdbPool({ floor: 2 }) } });
  await cluster.warm('duckdb', 2);
  await using client = await cluster.client();
  const reservation = await client.reserve('duckdb', { org: 'acme', ttlMs: 3_000 });
  await cluster.warm('duckdb', 2, 1);
  const queries = new QueryLoop(reservation);
  await queries.more(3);
  const before = await cluster.slots('duckdb');
  expect(before.map(({ state }) => state).sort()).toEqual(['reserved.active', 'warm', 'warm']);

  await cluster.host.kill();
  await queries.more(10);
  // What is warm is given out without an agent, too.
  const second = await client.reserve('duckdb', { org: 'other', ttlMs: 3_000 });
  expect(before.map(({ slot }) => slot)).toContain(second.slot);
  expect(await query(second, 'SELECT 42')).toEqual([[42]]);
  expect(new Set(cluster.workerPids())).toEqual(new Set(before.map(({ pid }) => pid)));

  await cluster.startHost('process');
  // The floor is refilled by the agent that is there now; all that ran before runs on.
  await cluster.warm('duckdb', 2, 2);
  const after = await cluster.slots('duckdb');
  for (const { slot, pid } of before) expect(after.find((one) => one.slot === slot)).toMatchObject({ pid });
  expect(after.length).toBe(4);
  await eventually(async () => expect(new Set(await cluster.runningSlots())).toEqual(new Set(after.map(({ slot }) => slot))), SLOW);
  await queries.more(3);
  expect(await queries.stop()).toBeGreaterThan(15);
  expect([reservation.lostReason, second.lostReason]).toEqual([undefined, undefined]);

  // The agent stops what it did not start itself.
  await Promise.all([reservation.release(), second.release()]);
  await cluster.admin({ type: 'drain', slot: second.slot });
  await eventually(async () => expect((await cluster.slots('duckdb')).map(({ slot }) => slot)).not.toContain(second.slot), SLOW);
  const gone = before.find(({ slot }) => slot === second.slot);
  expect(cluster.workerPids()).not.toContain(gone?.pid);
  expect(await cluster.slots('duckdb')).toHaveLength(3);
});
