import { BUDGETS } from '@muster/domain';
import { encode, subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 3 } }';

async function warm(options: Partial<Parameters<typeof MemoryCluster.start>[0]> = {}, count = 3): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ config: CONFIG, ...options });
  await cluster.untilWarm('demo', count);
  return cluster;
}

test('the owner of a pool is lost: reservations and warm slots are there at the next one, and the request ids are known', async () => {
  const cluster = await warm({ replicas: 3 });
  const first = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  const owner = cluster.ownerOf('demo');
  if (!first.ok || owner === undefined) throw new Error('no grant');
  await cluster.clock.run(5_000);
  const started = cluster.driver.started.length;
  cluster.kill(owner);
  const again = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1', waitMs: 10_000 });
  if (!again.ok) throw new Error(JSON.stringify(again));
  expect(again.reservation).toEqual(first.reservation);
  await cluster.clock.run(30_000);
  expect(cluster.driver.started).toHaveLength(started);
  expect(await cluster.askNow(subjects.release(), { id: first.reservation.id, epoch: 1 })).toMatchObject({ ok: true });
});

test('the owner is lost between the grant and the activation: the same request id completes the same reservation', async () => {
  const told: string[] = [];
  let isDeaf = true;
  const cluster = await warm({
    replicas: 3,
    handlers: () => ({
      onActivate: async ({ reservation, activation }) => {
        if (isDeaf) await new Promise<void>(() => undefined);
        told.push(`${reservation} ${String(activation.secret)}`);
      },
    }),
  });
  const owner = cluster.ownerOf('demo');
  if (owner === undefined) throw new Error('no owner');
  void cluster.reserve('demo', { org: 'acme', requestId: 'r1', activation: { secret: 'first' } }).catch(() => undefined);
  await cluster.clock.runUntil(() => cluster.slots().some((slot) => slot.state === 'reserved.activating'));
  const [granted] = cluster.slots().filter((slot) => slot.reservation !== null);
  cluster.kill(owner);
  // The worker that hangs is a lost cause; a crash of it would end the reservation, so it is let go on instead.
  isDeaf = false;
  const worker = cluster.workers.get(granted?.slot ?? '');
  expect(worker?.holder).toBeUndefined();
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1', waitMs: 25_000, activation: { secret: 'again' } });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  expect(answer.reservation.org).toBe('acme');
  const live = cluster.slots().filter((slot) => slot.reservation !== null);
  expect(live.map((slot) => slot.reservation)).toEqual([answer.reservation.id]);
  expect(told).toHaveLength(1);
});

test('the owner is lost after its client was told, and then the worker: the request id has ended, and gets no other reservation', async () => {
  const cluster = await warm({ replicas: 3 });
  const owner = cluster.ownerOf('demo');
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  if (!answer.ok || owner === undefined) throw new Error('no grant');
  // The record that says `active` has not been written: the next owner does not know that the client was told.
  expect(cluster.slots().find(({ slot }) => slot === answer.reservation.slot)?.state).toBe('reserved.activating');
  cluster.kill(owner);
  cluster.driver.crash(answer.reservation.slot);
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1', waitMs: 20_000 })).toMatchObject({ error: { code: 'ended' } });
  await cluster.clock.run(10_000);
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' })).toMatchObject({ error: { code: 'ended' } });
  expect(cluster.slots().map(({ reservation }) => reservation)).toEqual([null, null, null]);
});

test.each([
  ['and nobody asks', false],
  ['while its client asks again', true],
])('a reservation that its client was told of outlives its owner and, %s, a time in which its worker has no link', async (_what, asks) => {
  const cluster = await warm({ replicas: 3 });
  const owner = cluster.ownerOf('demo');
  const ask = { org: 'acme', requestId: 'r1', waitMs: 20_000 };
  const first = await cluster.reserveNow('demo', ask);
  if (!first.ok || owner === undefined) throw new Error('no grant');
  const { id, slot } = first.reservation;
  expect(cluster.slots().find((one) => one.slot === slot)?.state).toBe('reserved.activating');
  cluster.kill(owner);
  cluster.workerBuses.get(slot)?.disconnect();
  cluster.clock.setTimer(9_000, () => cluster.workerBuses.get(slot)?.reconnect());
  const again = asks ? cluster.reserve('demo', ask) : undefined;
  await cluster.clock.run(12_000);
  expect(cluster.slots().find((one) => one.slot === slot)).toMatchObject({ reservation: id, state: 'reserved.active' });
  if (again !== undefined) expect(await cluster.clock.resolve(again)).toMatchObject({ ok: true, reservation: { id } });
});

test('the janitor is lost at the peak: nothing is started twice, nothing shrinks for a window', async () => {
  const cluster = await warm({ replicas: 3, config: 'pools: { demo: { driver: simulated, floor: 3, recycle: shared } }' });
  const given = await cluster.clock.resolve(
    Promise.all(Array.from({ length: 12 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 30_000 }))),
  );
  await cluster.clock.run(5_000);
  const refs = given.flatMap((answer) => (answer.ok ? [{ id: answer.reservation.id, epoch: answer.reservation.epoch }] : []));
  await cluster.askNow(subjects.release(), refs);
  await cluster.clock.run(58_000);
  const started = cluster.driver.started.length;
  const peak = cluster.pool('demo').warm;
  const janitor = cluster.ownerOf('janitor');
  if (janitor === undefined) throw new Error('no janitor');
  cluster.kill(janitor);
  await cluster.clock.run(50_000);
  expect(cluster.pool('demo').warm).toBe(peak);
  expect(cluster.driver.started).toHaveLength(started);
  await cluster.clock.run(40_000);
  expect(cluster.pool('demo').warm).toBeLessThan(peak);
});

test('a worker that crashes while it serves: its reservation ends, its holder is told, the floor is refilled', async () => {
  const cluster = await warm();
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  if (!answer.ok) throw new Error('no grant');
  const news: unknown[] = [];
  cluster.client.subscribe(subjects.reservationLost(answer.reservation.id), (message) =>
    news.push(JSON.parse(new TextDecoder().decode(message.data))),
  );
  await cluster.untilWarm('demo', 3);
  cluster.driver.crash(answer.reservation.slot, 'SIGSEGV');
  await cluster.clock.run(2_000);
  expect(news).toEqual([{ type: 'lost', reason: 'worker-lost', detail: 'SIGSEGV' }]);
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' })).toMatchObject({
    error: { code: 'ended', reason: 'worker-lost' },
  });
  await cluster.clock.run(3_000);
  expect(cluster.pool('demo')).toMatchObject({ warm: 3, reserved: 0, draining: 0 });
});

test('a worker that is gone without any news is lost as soon as it is silent, not when the next sweep is due', async () => {
  const cluster = await warm();
  const answer = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!answer.ok) throw new Error('no grant');
  // The first sweep has been, and the next one is most of a minute off.
  await cluster.clock.run(5_000);
  cluster.driver.lose(answer.reservation.slot);
  await cluster.clock.run(BUDGETS.beatLostMs + 3_000);
  expect(cluster.slots().map((slot) => slot.slot)).not.toContain(answer.reservation.slot);
  expect(cluster.pool('demo')).toMatchObject({ warm: 3, reserved: 0 });
});

test('silence alone ends no reservation; a silent warm worker is no candidate and is replaced', async () => {
  const cluster = await warm({}, 3);
  const answer = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!answer.ok) throw new Error('no grant');
  await cluster.untilWarm('demo', 3);
  cluster.workerBuses.get(answer.reservation.slot)?.disconnect();
  await cluster.clock.run(60_000);
  expect(cluster.slots().find((slot) => slot.slot === answer.reservation.slot)).toMatchObject({
    state: 'reserved.active',
    isUnreachable: true,
  });
  const [quiet] = cluster.slots().filter((slot) => slot.state === 'warm');
  if (quiet === undefined) throw new Error('nothing is warm');
  cluster.workerBuses.get(answer.reservation.slot)?.reconnect();
  await cluster.clock.run(5_000);
  cluster.workerBuses.get(quiet.slot)?.disconnect();
  await cluster.clock.run(30_000);
  expect(cluster.slots().map((slot) => slot.slot)).not.toContain(quiet.slot);
  expect(cluster.pool('demo').warm).toBe(3);
});

/** Warm workers, and how their machine is cut off: nothing comes from it or arrives there, and nobody is told. */
async function onMachines() {
  const cluster = await warm({ config: 'pools: { demo: { driver: simulated, floor: 3, activation: 15s } }' });
  const cutOff = new Set<string>();
  cluster.network.transit = ({ from, to }) => (cutOff.has(from) || cutOff.has(to) ? [] : [0]);
  const slots = cluster.slots().map(({ slot }) => slot);
  /** Who gets the next slot, and how long that took. */
  const reserve = async (org: string) => {
    const askedMs = cluster.clock.monotonicMs();
    const answer = await cluster.reserveNow('demo', { org });
    if (!answer.ok) throw new Error(JSON.stringify(answer));
    return { slot: answer.reservation.slot, tookMs: cluster.clock.monotonicMs() - askedMs };
  };
  return { cluster, slots, reserve, cut: (slot: string) => void cutOff.add(`worker-${slot}`) };
}

test('a grant whose worker falls silent before its yes goes to another one after three beats, not at the end of its budget', async () => {
  const { slots, reserve, cut } = await onMachines();
  for (const slot of slots.slice(0, -1)) cut(slot);
  const { slot, tookMs } = await reserve('acme');
  expect(slot).toBe(slots.at(-1));
  expect(tookMs).toBeGreaterThan(BUDGETS.beatMs);
  expect(tookMs).toBeLessThanOrEqual(3 * BUDGETS.beatMs + 1_000);
});

test('G7: after a takeover silence ends no reservation that its client was told of before its record said active', async () => {
  const cluster = await warm({ replicas: 3 });
  const owner = cluster.ownerOf('demo');
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1', ttlMs: 120_000 });
  if (!answer.ok || owner === undefined) throw new Error('no grant');
  const { id, slot } = answer.reservation;
  const found = () => cluster.slots().find((one) => one.slot === slot);
  expect(found()?.state).toBe('reserved.activating');
  let isCutOff = true;
  cluster.network.transit = ({ from, to }) => (isCutOff && [from, to].includes(`worker-${slot}`) ? [] : [0]);
  cluster.kill(owner);
  await cluster.clock.run(30_000);
  expect(found()).toMatchObject({ state: 'reserved.activating', reservation: id, isUnreachable: true });
  isCutOff = false;
  await cluster.clock.run(5_000);
  expect(found()).toMatchObject({ state: 'reserved.active', reservation: id });
});

test('a worker that has missed a beat is given last', async () => {
  const { cluster, slots, reserve, cut } = await onMachines();
  const [first = '', ...others] = slots;
  cut(first);
  await cluster.clock.run(2 * BUDGETS.beatMs);
  const second = await reserve('second');
  expect(others).toContain(second.slot);
  expect(second.tookMs).toBeLessThan(100);
  cluster.driver.isAway = true;
  const third = await reserve('third');
  expect(new Set([second.slot, third.slot])).toEqual(new Set(others));
  expect(third.tookMs).toBeLessThan(100);
});

test('all workers silent at once is taken for a fault of the link: none is removed', async () => {
  const cluster = await warm();
  const before = cluster.slots().map((slot) => slot.slot);
  for (const bus of cluster.workerBuses.values()) bus.disconnect();
  await cluster.clock.run(60_000);
  expect(cluster.slots().map((slot) => slot.slot)).toEqual(before);
  expect(cluster.pool('demo').unreachable).toBe(3);
  for (const bus of cluster.workerBuses.values()) bus.reconnect();
  await cluster.clock.run(5_000);
  expect(cluster.pool('demo').unreachable).toBe(0);
});

test('a driver that is away keeps nothing from being reserved, and is caught up with after', async () => {
  const cluster = await warm({ config: 'pools: { demo: { driver: simulated, floor: 3, recycle: single-use } }' });
  cluster.driver.isAway = true;
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  if (!answer.ok) throw new Error('no grant');
  await cluster.askNow(subjects.release(), { id: answer.reservation.id, epoch: 1 });
  await cluster.clock.run(5_000);
  expect(cluster.pool('demo').draining).toBe(1);
  cluster.driver.isAway = false;
  await cluster.clock.run(60_000);
  expect(cluster.pool('demo')).toMatchObject({ warm: 3, draining: 0, spawning: 0 });
  expect(cluster.driver.running).toHaveLength(3);
});

test('a worker without a slot is removed past the age gate, and not before', async () => {
  const cluster = await warm();
  const template = cluster.config.pools.demo?.template;
  if (template === undefined) throw new Error('no template');
  await cluster.driver.create({ slot: 'demo-orphan', shard: 'demo', pool: 'demo', template, placement: {}, token: 'wrong' });
  await cluster.clock.run(100_000);
  expect(cluster.driver.running).toContain('demo-orphan');
  await cluster.clock.run(120_000);
  expect(cluster.driver.running).not.toContain('demo-orphan');
  expect(cluster.driver.running).toHaveLength(3);
});

test('at the cap, a parked slot of an org that wants nothing makes room for one that waits', async () => {
  const cluster = await warm({ config: 'pools: { demo: { driver: simulated, floor: 0, max: 2, parkedTtl: 10m } }' }, 0);
  for (const org of ['one', 'two']) {
    const answer = await cluster.reserveNow('demo', { org, waitMs: 10_000 });
    if (!answer.ok) throw new Error('no grant');
    await cluster.askNow(subjects.release(), { id: answer.reservation.id, epoch: 1 });
  }
  await cluster.clock.run(1_000);
  expect(cluster.pool('demo')).toMatchObject({ parked: 2 });
  const third = await cluster.reserveNow('demo', { org: 'three', waitMs: 20_000 });
  expect(third.ok).toBe(true);
  await cluster.clock.run(5_000);
  expect(cluster.slots().length).toBeLessThanOrEqual(2);
  expect(
    cluster
      .slots()
      .filter((slot) => slot.state === 'reserved.parked')
      .map((slot) => slot.org),
  ).toEqual(['two']);
});

test('a full pool says pool-cap, never starts more than its cap, and serves its waiters as workers come free', async () => {
  const cluster = await warm({ config: 'pools: { demo: { driver: simulated, floor: 0, max: 2, recycle: single-use, waitMax: 60s } }' }, 0);
  const held = await cluster.clock.resolve(Promise.all(['a', 'b'].map((org) => cluster.reserve('demo', { org, waitMs: 10_000 }))));
  expect(await cluster.reserveNow('demo', { org: 'c' })).toMatchObject({ miss: { reason: 'pool-cap' } });
  const waiting = cluster.reserve('demo', { org: 'd', waitMs: 50_000 });
  await cluster.clock.run(10_000);
  expect(cluster.driver.running).toHaveLength(2);
  const [first] = held;
  if (first === undefined || !first.ok) throw new Error('no grant');
  await cluster.askNow(subjects.release(), { id: first.reservation.id, epoch: 1 });
  expect((await cluster.clock.resolve(waiting)).ok).toBe(true);
  expect(cluster.driver.running.length).toBeLessThanOrEqual(2);
});

test('a removed pool answers pool-unknown, lets its reservations live, and leaves nothing behind', async () => {
  const cluster = await warm({ replicas: 2 });
  const held = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!held.ok) throw new Error('no grant');
  await cluster.askNow(subjects.admin(), { type: 'apply', yaml: 'cluster: { name: test }\npools: {}' });
  await cluster.clock.run(10_000);
  expect(await cluster.reserveNow('demo', { org: 'acme' })).toMatchObject({ miss: { reason: 'pool-unknown' } });
  expect(cluster.driver.running).toEqual([held.reservation.slot]);
  expect(await cluster.askNow(subjects.release(), { id: held.reservation.id, epoch: 1 })).toMatchObject({ ok: true });
  await cluster.clock.run(10_000);
  expect(cluster.driver.running).toEqual([]);
  expect(cluster.slots()).toEqual([]);
});

test('while the capacity is not known requests wait and nothing is started', async () => {
  const cluster = await MemoryCluster.start({ config: CONFIG });
  cluster.driver.limit = { kind: 'unknown', why: 'no host has been heard of' };
  await cluster.clock.run(10_000);
  const waiting = cluster.reserve('demo', { org: 'acme', waitMs: 30_000 });
  await cluster.clock.run(5_000);
  expect(cluster.pool('demo').waiting).toBe(1);
  const before = cluster.driver.started.length;
  cluster.driver.limit = { kind: 'bounded', max: 3, why: 'one host' };
  expect((await cluster.clock.resolve(waiting)).ok).toBe(true);
  await cluster.clock.run(10_000);
  expect(cluster.driver.started.length).toBeLessThanOrEqual(3);
  expect(before).toBe(0);
});

test('a beat of a slot with a forged token changes nothing', async () => {
  const cluster = await warm();
  const [slot] = cluster.slots();
  if (slot === undefined) throw new Error('nothing is warm');
  const beat = {
    instance: 'evil',
    endpoint: 'http://evil',
    version: '0',
    pid: 1,
    token: 'forged',
    epoch: 0,
    reservation: null,
    state: 'idle',
  };
  const reply = await cluster.clock.resolve(
    cluster.client.request(subjects.workerHello('demo', slot.slot), encode(beat), { timeoutMs: 2_000 }),
  );
  expect(JSON.parse(new TextDecoder().decode(reply.data))).toMatchObject({ type: 'stop' });
  expect(cluster.slots().find((one) => one.slot === slot.slot)?.endpoint).toBe(`memory://${slot.slot}`);
});

test('the owner is lost when the worker has just said yes: who asks again is answered with the same reservation', async () => {
  const cluster: MemoryCluster = await warm({
    replicas: 3,
    handlers: () => ({
      onActivate: () => {
        const owner = cluster.ownerOf('demo');
        if (owner !== undefined && cluster.replicas.length === 3) cluster.kill(owner);
      },
    }),
  });
  const other = cluster.replicas.find((replica) => !replica.runtime.isOwned('demo'));
  if (other === undefined) throw new Error('one owns it all');
  const body = { type: 'reserve', org: 'acme', requestId: 'r1', isIdGiven: true, waitMs: 0 };
  const ask = (): Promise<{ value: unknown }> => other.runtime.ask('demo', body, { timeoutMs: 1_500 }).catch(ask);
  const { value } = await cluster.clock.resolve(ask());
  expect(value).toMatchObject({ ok: true, reservation: { org: 'acme', epoch: 1 } });
  await cluster.clock.run(3_000);
  expect(
    cluster
      .slots()
      .filter((slot) => slot.reservation !== null)
      .map((slot) => slot.state),
  ).toEqual(['reserved.active']);
});

test('while no host takes a worker the janitor does not decide again and again', async () => {
  const cluster = await MemoryCluster.start({ config: 'pools: { demo: { driver: simulated, floor: 2, max: 5 } }' });
  const place = cluster.driver.place.bind(cluster.driver);
  cluster.driver.place = () => undefined;
  await cluster.clock.run(30_000);
  expect(cluster.driver.started).toEqual([]);
  expect(cluster.intents().length).toBeLessThanOrEqual(7);
  cluster.driver.place = place;
  await cluster.untilWarm('demo', 2);
});

test('G9: NATS loses the tail with a grant in it: the worker goes on serving its tenant, and nobody else gets it', async () => {
  const cluster = await warm({ replicas: 3, config: 'pools: { demo: { driver: simulated, floor: 1, recycle: single-use } }' }, 1);
  await cluster.clock.run(5_000);
  const before = cluster.server.lastSeq;
  const held = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!held.ok) throw new Error('no grant');
  const { slot, token } = held.reservation;
  cluster.server.loseTail(before);
  await cluster.clock.run(15_000);
  expect(cluster.slots().find((one) => one.slot === slot)).toMatchObject({ state: 'warm', reservation: null });
  const other = await cluster.reserveNow('demo', { org: 'other', waitMs: 10_000 });
  if (other.ok) expect(other.reservation.slot).not.toBe(slot);
  expect(cluster.workers.get(slot)?.isHolder(token)).toBe(true);
  expect(cluster.workers.get(slot)?.holder?.org).toBe('acme');
});

test('G9: a reservation that NATS lost and one that has its id are not taken for each other', async () => {
  const cluster = await warm({ config: 'pools: { demo: { driver: simulated, floor: 1, recycle: single-use, activation: 5s } }' }, 1);
  await cluster.clock.run(5_000);
  const before = cluster.server.lastSeq;
  const held = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!held.ok) throw new Error('no grant');
  const worker = `worker-${held.reservation.slot}`;
  // The worker hears nothing and is not heard, so that it is granted again; then it is heard.
  cluster.network.transit = ({ from, to }) => (from === worker || to === worker ? [] : [0]);
  cluster.server.loseTail(before);
  await cluster.clock.run(4_000);
  const asked = cluster.reserve('demo', { org: 'other', waitMs: 10_000 });
  await cluster.clock.runUntil(() =>
    cluster.slots().some(({ reservation, org }) => reservation === held.reservation.id && org === 'other'),
  );
  cluster.network.transit = ({ to }) => (to === worker ? [] : [0]);
  const other = await cluster.clock.resolve(asked);
  if (other.ok) expect(other.reservation.slot).not.toBe(held.reservation.slot);
});
