// A copy of a reserve request that was late arrives when another copy was refused, and is granted: who ends that?
import { MusterClient } from '@muster/client';
import { type BusMessage, MemoryBus, SeededRandom, silentLogger } from '@muster/ports';
import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 2, recycle: single-use } }\norgs: { acme: { max: 1 } }';
const PUBLIC = subjects.reserve('demo');
const BY_REPLICA = subjects.shardCommand('demo');
const BY_CLIENT = subjects.shardRequest('demo');

/** acme, at its cap of 1, was refused; by now it has nothing. */
interface Late {
  readonly cluster: MemoryCluster;
  readonly answer: unknown;
  /** The first copy of its request, which was on its way until then. */
  arrive(): Promise<void>;
}

/** Holds back the first message of `subject`, until `arrive`. */
async function refused(subject: string, ask: (cluster: MemoryCluster) => Promise<unknown>): Promise<Late> {
  const cluster = await MemoryCluster.start({ config: CONFIG, replicas: 2 });
  await cluster.untilWarm('demo', 2);
  const held = await cluster.reserveNow('demo', { org: 'acme' });
  if (!held.ok) throw new Error(JSON.stringify(held));
  let first: BusMessage | undefined;
  const spy = new MemoryBus({ network: cluster.network, name: 'spy' });
  spy.subscribe(subject, (message) => {
    first ??= message;
  });
  cluster.network.transit = (hop) => (hop.subject === subject && hop.to !== 'spy' && first === undefined ? [] : [0]);
  const answer = await cluster.clock.resolve(ask(cluster));
  await cluster.askNow(subjects.release(), { id: held.reservation.id, epoch: held.reservation.epoch });
  await cluster.untilWarm('demo', 2);
  return {
    cluster,
    answer,
    arrive: async () => {
      const copy = first;
      if (copy === undefined) throw new Error('no copy was held back');
      void cluster.client.request(subject, copy.data, { timeoutMs: 20_000 }).then(({ data }) => copy.respond(data));
      await cluster.clock.run(1_000);
    },
  };
}

test('one whose id its client gave is granted: for who asks again with it, until it is cancelled, or its lease ends', async () => {
  const body = { org: 'acme', requestId: 'r1', ttlMs: 8_000 };
  const late = await refused(PUBLIC, async (cluster) => {
    await cluster.ask(PUBLIC, body, 2_000).catch(() => undefined);
    return cluster.ask(PUBLIC, body);
  });
  const { cluster } = late;
  expect(late.answer).toMatchObject({ miss: { reason: 'org-cap' } });
  await late.arrive();
  expect(cluster.pool('demo').reserved).toBe(1);
  // It stands in the way of the org's others,
  expect(await cluster.reserveNow('demo', { org: 'acme' })).toMatchObject({ miss: { reason: 'org-cap' } });
  // and is there for the same request, for which the lease counts anew.
  expect(await cluster.reserveNow('demo', body)).toMatchObject({ ok: true, reservation: { epoch: 1 } });
  await cluster.clock.run(7_000);
  expect(cluster.pool('demo').reserved).toBe(1);
  await cluster.clock.run(2_000);
  expect(cluster.pool('demo').reserved).toBe(0);
});

test('one whose id its client gave and that is cancelled is never granted, whenever it comes', async () => {
  const body = { org: 'acme', requestId: 'r1' };
  const late = await refused(PUBLIC, async (cluster) => {
    await cluster.ask(PUBLIC, body, 2_000).catch(() => undefined);
    return cluster.ask(PUBLIC, body);
  });
  await late.cluster.askNow(subjects.cancel(), { pool: 'demo', org: 'acme', requestId: 'r1' });
  await late.arrive();
  expect(late.cluster.pool('demo').reserved).toBe(0);
});

test('no replica asks on for a sender that waits no longer', async () => {
  // Nothing becomes warm while it waits.
  const cluster = await MemoryCluster.start({ config: CONFIG, replicas: 2, startMs: 60_000 });
  let asked = 0;
  const spy = new MemoryBus({ network: cluster.network, name: 'spy' });
  spy.subscribe(BY_REPLICA, () => {
    asked += 1;
  });
  const owner = cluster.ownerOf('demo')?.bus.name;
  cluster.network.transit = (hop) => (hop.subject === PUBLIC && hop.to === owner ? [] : [0]);
  const ask = (requestId: string) => cluster.ask(PUBLIC, { org: 'acme', requestId, waitMs: 10_000, deadlineMs: 1_000 }, 1_500);
  const byTheOwner = await cluster.clock.resolve(ask('r1').catch(() => undefined));
  const answer = byTheOwner ?? (await cluster.clock.resolve(ask('r2')));
  expect(answer).toMatchObject({ error: { code: 'timeout' } });
  const until = asked;
  expect(until).toBeGreaterThan(0);
  await cluster.clock.run(15_000);
  expect(asked).toBe(until);
});

test('one whose id a replica made is cancelled by it, before it comes (W1)', async () => {
  const late = await refused(BY_REPLICA, async (cluster) => {
    // By the replica that is not the owner, which has to send it on.
    const { transit } = cluster.network;
    const owner = cluster.ownerOf('demo')?.bus.name;
    cluster.network.transit = (hop) => (hop.subject === PUBLIC && hop.to === owner ? [] : transit(hop));
    const byTheOwner = cluster.ask(PUBLIC, { org: 'acme' }, 1_000).catch(() => undefined);
    return (await byTheOwner) ?? cluster.ask(PUBLIC, { org: 'acme' });
  });
  expect(late.answer).toMatchObject({ miss: { reason: 'org-cap' } });
  await late.arrive();
  expect(late.cluster.pool('demo').reserved).toBe(0);
});

test('one whose id the client library made is released by it, when it comes', async () => {
  const late = await refused(BY_CLIENT, (cluster) => {
    const { clock, network } = cluster;
    const bus = new MemoryBus({ network, name: 'application' });
    return new MusterClient({ bus, clock, random: new SeededRandom(1), logger: silentLogger }).tryReserve('demo', { org: 'acme' });
  });
  expect(late.answer).toMatchObject({ miss: { reason: 'org-cap' } });
  await late.arrive();
  expect(late.cluster.pool('demo').reserved).toBe(0);
});
