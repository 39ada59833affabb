import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const upIntents = (cluster: MemoryCluster) => cluster.intents().filter((intent) => intent.kind !== 'down');

async function coldCluster(replicas: number, config = 'pools: { demo: { driver: simulated, floor: 5 } }'): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ replicas, config, startMs: 2_000 });
  await cluster.askNow(subjects.admin(), { type: 'hold', pool: 'demo' });
  for (const intent of cluster.intents()) if (intent.kind !== 'down') throw new Error('the pool was not cold');
  return cluster;
}

test.each([1, 3])('30 waiters and a floor of 5 in a cold pool make one intent of exactly 35 slots, with %i replicas', async (replicas) => {
  const cluster = await coldCluster(replicas);
  const answers = Array.from({ length: 30 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 30_000 }));
  await cluster.clock.runUntil(() => cluster.pool('demo').waiting === 30);
  expect(cluster.driver.started).toEqual([]);
  await cluster.askNow(subjects.admin(), { type: 'resume', pool: 'demo' });
  const given = await cluster.clock.resolve(Promise.all(answers));
  expect(given.every((answer) => answer.ok)).toBe(true);
  expect(new Set(given.map((answer) => (answer.ok ? answer.reservation.slot : ''))).size).toBe(30);
  await cluster.clock.run(30_000);
  expect(upIntents(cluster).map((intent) => [intent.kind, intent.slots])).toEqual([['demand', { demo: 35 }]]);
  expect(cluster.driver.started).toHaveLength(35);
  expect(cluster.pool('demo')).toMatchObject({ warm: 5, waiting: 0 });
});

test('clients that retry every 100 ms with the same id are one request each', async () => {
  const cluster = await coldCluster(3);
  const retry = async (n: number): Promise<void> => {
    for (;;) {
      const answer = await cluster.reserve('demo', { org: `org${n}`, requestId: `r${n}`, waitMs: 0 });
      if (answer.ok) return;
      await new Promise<void>((resolve) => cluster.clock.setTimer(100, resolve));
    }
  };
  const all = Promise.all(Array.from({ length: 30 }, (_, n) => retry(n)));
  await cluster.clock.run(3_000);
  expect(cluster.pool('demo').refused).toBe(30);
  await cluster.askNow(subjects.admin(), { type: 'resume', pool: 'demo' });
  await cluster.clock.resolve(all);
  await cluster.clock.run(10_000);
  expect(upIntents(cluster).map((intent) => intent.slots)).toEqual([{ demo: 35 }]);
});

test('with the floor warm, 30 tenants at once start exactly 30 more, in at most two intents', async () => {
  const cluster = await MemoryCluster.start({ replicas: 3, config: 'pools: { demo: { driver: simulated, floor: 5 } }', startMs: 2_000 });
  await cluster.untilWarm('demo', 5);
  const before = upIntents(cluster).length;
  const given = await cluster.clock.resolve(
    Promise.all(Array.from({ length: 30 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 30_000 }))),
  );
  expect(given.every((answer) => answer.ok)).toBe(true);
  await cluster.clock.run(20_000);
  const more = upIntents(cluster).slice(before);
  expect(more.reduce((sum, intent) => sum + (intent.slots.demo ?? 0), 0)).toBe(30);
  expect(more.length).toBeLessThanOrEqual(2);
});

test('a miss in one pool never starts workers of another', async () => {
  const config = 'pools: { one: { driver: simulated, floor: 0 }, two: { driver: simulated, floor: 1 } }';
  const cluster = await MemoryCluster.start({ replicas: 2, config });
  await cluster.untilWarm('two', 1);
  expect((await cluster.reserveNow('one', { org: 'acme', waitMs: 10_000 })).ok).toBe(true);
  await cluster.clock.run(10_000);
  expect(cluster.intents().map((intent) => [intent.pool, intent.slots])).toEqual([
    ['two', { two: 1 }],
    ['one', { one: 1 }],
  ]);
});

test('what is idle shrinks slowly to the floor, and not before its window', async () => {
  const cluster = await MemoryCluster.start({ replicas: 1, config: 'pools: { demo: { driver: simulated, floor: 2, recycle: shared } }' });
  await cluster.untilWarm('demo', 2);
  const given = await cluster.clock.resolve(
    Promise.all(Array.from({ length: 20 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 30_000 }))),
  );
  await cluster.clock.run(5_000);
  const refs = given.flatMap((answer) => (answer.ok ? [{ id: answer.reservation.id, epoch: answer.reservation.epoch }] : []));
  await cluster.askNow(subjects.release(), refs);
  await cluster.clock.run(3_000);
  const peak = cluster.pool('demo').warm;
  expect(peak).toBeGreaterThanOrEqual(20);
  await cluster.clock.run(50_000);
  expect(cluster.pool('demo').warm).toBe(peak);
  await cluster.clock.run(20_000);
  expect(peak - cluster.pool('demo').warm).toBe(Math.floor((peak - 2) / 4));
  await cluster.clock.run(15 * 60_000);
  expect(cluster.pool('demo').warm).toBe(2);
});

test('a pool whose workers never start opens its breaker, says so, probes, and closes it when one comes up', async () => {
  let isBroken = true;
  const cluster = await MemoryCluster.start({
    config: 'pools: { demo: { driver: simulated, floor: 0, waitMax: 60s } }',
    handlers: () => {
      if (isBroken) throw new Error('exit 1');
      return {};
    },
  });
  await cluster.untilWarm('demo', 0);
  const waiting = cluster.reserve('demo', { org: 'acme', waitMs: 60_000 });
  await cluster.clock.runUntil(() => cluster.any.pools.view.pools().pools.some((pool) => pool.isBreakerOpen));
  const startedAtOpening = upIntents(cluster).length;
  expect(startedAtOpening).toBe(5);
  await cluster.clock.run(20_000);
  const probes = upIntents(cluster).slice(startedAtOpening);
  expect(probes.length).toBeGreaterThan(0);
  expect(probes.length).toBeLessThanOrEqual(3);
  for (const probe of probes) expect(probe).toMatchObject({ kind: 'probe', slots: { demo: 1 } });
  isBroken = false;
  expect((await cluster.clock.resolve(waiting)).ok).toBe(true);
  await cluster.clock.runUntil(() => !cluster.pool('demo').isBreakerOpen, 2_000);
});

test('a changed template replaces what is idle make-before-break; what is reserved lives on', async () => {
  const config = (env: string) => `pools: { demo: { driver: simulated, floor: 4, worker: { env: { V: "${env}" } } } }`;
  const cluster = await MemoryCluster.start({ replicas: 2, config: config('1') });
  await cluster.untilWarm('demo', 4);
  const held = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 600_000 });
  if (!held.ok) throw new Error('no grant');
  await cluster.clock.run(5_000);
  const before = new Set(cluster.slots().map((slot) => slot.slot));
  let least = 99;
  const yaml = `cluster: { name: test }\n${config('2')}`;
  expect(await cluster.askNow(subjects.admin(), { type: 'apply', yaml })).toMatchObject({ ok: true, configVersion: 2, isChanged: true });
  for (let n = 0; n < 600; n += 1) {
    await cluster.clock.run(100);
    least = Math.min(least, cluster.pool('demo').warm);
  }
  expect(least).toBeGreaterThanOrEqual(4);
  const after = cluster.slots();
  expect(after.filter((slot) => before.has(slot.slot)).map((slot) => slot.slot)).toEqual([held.reservation.slot]);
  expect(after.filter((slot) => slot.state === 'warm')).toHaveLength(4);
});

test('a pool in parts: each part has its share of floor and demand, and they add up', async () => {
  const cluster = await MemoryCluster.start({ replicas: 3, config: 'pools: { demo: { driver: simulated, floor: 5, shards: 3 } }' });
  await cluster.untilWarm('demo', 5);
  const given = await cluster.clock.resolve(
    Promise.all(Array.from({ length: 30 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 30_000 }))),
  );
  expect(given.every((answer) => answer.ok)).toBe(true);
  await cluster.clock.run(20_000);
  expect(cluster.driver.started).toHaveLength(35);
  expect(cluster.pool('demo').warm).toBe(5);
});

test('a burst that takes 60 ms to arrive is one intent', async () => {
  const cluster = await MemoryCluster.start({ replicas: 3, config: 'pools: { demo: { driver: simulated, floor: 0 } }', startMs: 2_000 });
  await cluster.untilWarm('demo', 0);
  const given = Array.from({ length: 30 }, async (_, n) => {
    await new Promise<void>((resolve) => void cluster.clock.setTimer(n * 2, resolve));
    return cluster.reserve('demo', { org: `org${n}`, waitMs: 30_000 });
  });
  await cluster.clock.resolve(Promise.all(given));
  expect(upIntents(cluster).map((intent) => intent.slots)).toEqual([{ demo: 30 }]);
});
