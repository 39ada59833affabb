// What a cluster does that a host does not: it has no room yet, takes a worker away, is away itself, and knows whose a pod is.
import { BUDGETS } from '@muster/domain';
import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 3, breaker: { failures: 2 } } }';
const TWENTY_MINUTES = 20 * 60_000;

async function full(options: Partial<Parameters<typeof MemoryCluster.start>[0]> = {}): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ config: CONFIG, ...options });
  cluster.driver.isFull = true;
  await cluster.clock.runUntil(() => cluster.driver.created.length === 3);
  return cluster;
}

test('workers without room are held far beyond the spawn clock, are not replaced, and come up when there is room', async () => {
  const cluster = await full();
  await cluster.clock.run(TWENTY_MINUTES);
  expect(cluster.pool('demo')).toMatchObject({ spawning: 3, warm: 0, draining: 0 });
  expect(cluster.driver.created).toHaveLength(3);
  cluster.driver.makeRoom();
  await cluster.untilWarm('demo', 3);
  expect(cluster.driver.created).toHaveLength(3);
});

test('waiters beyond what is held are demand, once, whatever the time', async () => {
  const cluster = await full();
  const answers = Array.from({ length: 10 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, requestId: `r${n}`, waitMs: 30_000 }));
  await cluster.clock.run(20_000);
  expect(cluster.driver.created).toHaveLength(13);
  cluster.driver.makeRoom();
  const given = await cluster.clock.resolve(Promise.all(answers));
  expect(given.filter(({ ok }) => ok)).toHaveLength(10);
  await cluster.untilWarm('demo', 3);
  expect(cluster.driver.created).toHaveLength(13);
});

test('a worker that was held has the whole spawn time from when it has room, also after a takeover', async () => {
  const cluster = await full({ replicas: 3, startMs: BUDGETS.spawnMs - 30_000 });
  await cluster.clock.run(TWENTY_MINUTES);
  cluster.driver.makeRoom();
  await cluster.clock.run(BUDGETS.spawnMs / 2);
  const owner = cluster.ownerOf('demo');
  if (owner === undefined) throw new Error('no owner');
  cluster.kill(owner);
  await cluster.clock.run(BUDGETS.spawnMs / 2 - 10_000);
  expect(cluster.pool('demo').warm).toBe(3);
  expect(cluster.driver.created).toHaveLength(3);
});

test('after half an hour without room a worker is given up with the reason, and the breaker stays closed', async () => {
  const cluster = await full();
  const miss = cluster.reserve('demo', { org: 'acme' });
  await cluster.clock.run(1_000);
  expect(await cluster.clock.resolve(miss)).toMatchObject({ ok: false, miss: { reason: 'warm-capacity-exhausted' } });
  await cluster.clock.run(BUDGETS.heldMs);
  expect(cluster.driver.created.length).toBeGreaterThan(3);
  expect(await cluster.reserveNow('demo', { org: 'acme' })).toMatchObject({ ok: false, miss: { reason: 'warm-capacity-exhausted' } });
});

test('a start that is away is waited for where there is nowhere else, is tried again after, and none comes twice', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG });
  cluster.driver.isOnePlace = true;
  cluster.driver.isAway = true;
  await cluster.clock.run(120_000);
  expect(cluster.pool('demo')).toMatchObject({ spawning: 3, draining: 0 });
  cluster.driver.isAway = false;
  await cluster.untilWarm('demo', 3);
  expect(cluster.driver.created).toHaveLength(3);
  expect(cluster.intents()).toHaveLength(1);
});

test('a driver that is away for longer than a start may take says nothing of the template: held, not replaced, and caught up after', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG });
  cluster.driver.isOnePlace = true;
  cluster.driver.isAway = true;
  await cluster.clock.run(TWENTY_MINUTES);
  expect(cluster.pool('demo')).toMatchObject({ spawning: 3, draining: 0, isBreakerOpen: false });
  cluster.driver.isAway = false;
  await cluster.clock.run(10_000);
  expect(cluster.pool('demo')).toMatchObject({ warm: 3, spawning: 0 });
  expect(cluster.driver.created).toHaveLength(3);
  expect(cluster.intents()).toHaveLength(1);
});

test('a start that waits for its next try does not come after the stop', async () => {
  const cluster = await MemoryCluster.start({ config: 'pools: { demo: { driver: simulated, floor: 1, spawn: 10s } }' });
  cluster.driver.isOnePlace = true;
  cluster.driver.isAway = true;
  await cluster.clock.runUntil(() => cluster.slots().some(({ state }) => state === 'draining'));
  const [late] = cluster.slots().filter(({ state }) => state === 'draining');
  cluster.driver.isAway = false;
  await cluster.clock.run(30_000);
  expect(late).toBeDefined();
  expect(cluster.driver.asked).not.toContain(late?.slot);
  expect(cluster.pool('demo')).toMatchObject({ warm: 1, draining: 0 });
});

test('a pod that somebody else ends: a warm worker goes at once, a reserved one when it is gone', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG });
  await cluster.untilWarm('demo', 3);
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  if (!answer.ok) throw new Error('no grant');
  await cluster.untilWarm('demo', 3);
  const [idle] = cluster.slots().filter(({ state }) => state === 'warm');
  for (const slot of [answer.reservation.slot, idle?.slot ?? ''])
    cluster.driver.say(slot, { isLeaving: true, reason: 'evicted: node drain' });
  await cluster.clock.run(2_000);
  expect(cluster.slots().map(({ slot }) => slot)).not.toContain(idle?.slot);
  expect(cluster.slots().find(({ slot }) => slot === answer.reservation.slot)).toMatchObject({ state: 'reserved.active' });
  cluster.driver.crash(answer.reservation.slot, 'evicted: node drain');
  await cluster.clock.run(2_000);
  expect(cluster.slots().map(({ slot }) => slot)).not.toContain(answer.reservation.slot);
});

test('a worker out of sight is lost when it is silent too, and not before', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG });
  await cluster.untilWarm('demo', 3);
  const answer = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!answer.ok) throw new Error('no grant');
  const { slot } = answer.reservation;
  await cluster.untilWarm('demo', 3);
  cluster.driver.say(slot, { state: 'unreachable', reason: 'node-lost: no news' });
  await cluster.clock.run(70_000);
  expect(cluster.slots().find((one) => one.slot === slot)).toMatchObject({ state: 'reserved.active' });
  cluster.workerBuses.get(slot)?.disconnect();
  await cluster.clock.run(70_000);
  expect(cluster.slots().find((one) => one.slot === slot)?.state ?? 'draining').toBe('draining');
});

test('it is noted at the worker whose it is; a new owner notes it again', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG, replicas: 3 });
  await cluster.untilWarm('demo', 3);
  const answer = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!answer.ok) throw new Error('no grant');
  const { slot } = answer.reservation;
  expect(cluster.driver.orgs.get(slot)).toBe('acme');
  cluster.driver.orgs.clear();
  const owner = cluster.ownerOf('demo');
  if (owner === undefined) throw new Error('no owner');
  cluster.kill(owner);
  await cluster.clock.run(10_000);
  expect([...cluster.driver.orgs]).toEqual([[slot, 'acme']]);
});

test('released workers keep their note while they are parked', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG });
  await cluster.untilWarm('demo', 3);
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  if (!answer.ok) throw new Error('no grant');
  await cluster.askNow(subjects.release(), { id: answer.reservation.id, epoch: 1 });
  expect(cluster.driver.orgs.get(answer.reservation.slot)).toBe('acme');
});

test('workers that take long to end hold up no start, and are reaped when they are said to be gone', async () => {
  const many = 100;
  const config = `pools: { demo: { driver: simulated, floor: ${many}, recycle: single-use } }`;
  const cluster = await MemoryCluster.start({ config });
  await cluster.untilWarm('demo', many);
  cluster.driver.areStopsSlow = true;
  const answers = await cluster.clock.resolve(
    Promise.all(Array.from({ length: many }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 20_000 }))),
  );
  const refs = answers.flatMap((answer) => (answer.ok ? [{ id: answer.reservation.id, epoch: answer.reservation.epoch }] : []));
  await cluster.askNow(subjects.release(), refs);
  await cluster.clock.runUntil(() => cluster.pool('demo').draining === many);
  await cluster.untilWarm('demo', many);
  expect(cluster.pool('demo').draining).toBe(many);
  cluster.driver.endStops();
  await cluster.clock.run(500);
  expect(cluster.pool('demo')).toMatchObject({ warm: many, draining: 0 });
});
