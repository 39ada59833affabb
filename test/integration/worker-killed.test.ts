// A worker that dies takes its reservation with it, and nothing else (guarantee G6).
import { subjects } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { QueryLoop } from './support/queries.ts';
import { kill } from './support/worker-processes.ts';

it('the holder of a worker that is killed is told so, others notice nothing, and the floor is filled again', async () => {
  await using cluster = await startCluster({ replicas: 2, host: 'process', pools: { duckdb: duckdbPool({ floor: 1 }) } });
  await cluster.warm('duckdb', 1);
  await using client = await cluster.client();
  await using plain = await cluster.plain();
  const victim = await client.reserve('duckdb', { org: 'acme', requestId: 'victim', waitMs: 60_000 });
  const bystander = await client.reserve('duckdb', { org: 'other', waitMs: 60_000 });
  await cluster.warm('duckdb', 1, 2);
  const queries = new QueryLoop(bystander);
  await queries.more(2);
  const told: string[] = [];
  plain.subscribe(subjects.reservationLost(victim.id), ({ text }) => told.push(text));
  // On its way to the server before anything is killed.
  expect(await plain.request(subjects.pools(), '{}')).toMatchObject({ ok: true });

  // A warm one and a reserved one.
  const slots = await cluster.slotsIn('duckdb', ['reserved.active', 'reserved.active', 'warm']);
  const pidOf = (slot: string | undefined): number => {
    const pid = slots.find((one) => one.slot === slot)?.pid ?? null;
    // Zero would be the group of this process.
    if (pid === null) throw new Error(`no pid of ${slot}`);
    return pid;
  };
  const warm = slots.find(({ state }) => state === 'warm')?.slot;
  kill(pidOf(victim.slot));
  kill(pidOf(warm));

  expect(await victim.lost).toBe('worker-lost');
  await eventually(
    () => expect(told.map((text) => JSON.parse(text) as unknown)).toMatchObject([{ type: 'lost', reason: 'worker-lost' }]),
    SLOW,
  );
  expect(await cluster.settle('renew', victim)).toMatchObject({ ok: false, error: { code: 'ended' } });
  expect(await cluster.reserve('duckdb', { org: 'acme', requestId: 'victim' })).toMatchObject({
    ok: false,
    error: { code: 'ended', reason: 'worker-lost' },
  });
  await victim.release();

  await cluster.warm('duckdb', 1, 1);
  await eventually(async () => {
    const after = await cluster.slots('duckdb');
    expect(after.map(({ state }) => state).sort()).toEqual(['reserved.active', 'warm']);
    expect(after.map(({ slot }) => slot)).toContain(bystander.slot);
    expect([victim.slot, warm].filter((slot) => after.some((one) => one.slot === slot))).toEqual([]);
    expect(new Set(await cluster.runningSlots())).toEqual(new Set(after.map(({ slot }) => slot)));
  }, SLOW);
  await queries.more(2);
  await queries.stop();
  expect(bystander.lostReason).toBeUndefined();
  // One who lost its worker gets another one.
  const again = await client.reserve('duckdb', { org: 'acme', waitMs: 60_000 });
  expect(again.slot).not.toBe(victim.slot);
});
