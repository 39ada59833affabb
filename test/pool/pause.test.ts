// A paused pool refuses reserves (DESIGN 11), and takes nothing from anybody.
import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 1, recycle: same-org }, other: { driver: simulated, floor: 1 } }';
const PAUSED = { ok: false, miss: { reason: 'pool-paused', retryAfterMs: expect.any(Number) } };

async function pausedCluster(replicas = 1) {
  const cluster = await MemoryCluster.start({ config: CONFIG, replicas });
  await cluster.untilWarm('demo', 1);
  await cluster.untilWarm('other', 1);
  const held = await cluster.reserveNow('demo', { org: 'acme', requestId: 'mine' });
  if (!held.ok) throw new Error(JSON.stringify(held));
  await cluster.clock.runUntil(() => cluster.pool('demo').reserved === 1 && cluster.pool('demo').warm === 1);
  const admin = (type: 'pause' | 'resume', pool = 'demo') => cluster.askNow(subjects.admin(), { type, pool });
  const pause = async (): Promise<void> => {
    expect(await admin('pause')).toEqual({ ok: true, pool: 'demo' });
    await cluster.clock.runUntil(() => cluster.pool('demo').isPaused);
  };
  return { cluster, reservation: held.reservation, admin, pause };
}

test('a paused pool refuses reserves until it is resumed, starts nothing for them, and is no other pool', async () => {
  const { cluster, admin, pause } = await pausedCluster();
  await pause();
  const decided = () => cluster.intents().filter(({ pool }) => pool === 'demo').length;
  const before = decided();
  expect(await cluster.reserveNow('demo', { org: 'acme' })).toMatchObject(PAUSED);
  expect(await cluster.reserveNow('demo', { org: 'new', waitMs: 10_000 })).toMatchObject(PAUSED);
  expect(await cluster.reserveNow('other', { org: 'new' })).toMatchObject({ ok: true });
  await cluster.clock.run(10_000);
  expect(decided()).toBe(before);
  expect(cluster.pool('demo')).toMatchObject({ warm: 1, reserved: 1, waiting: 0, refused: 0, isPaused: true });
  expect(await admin('resume')).toMatchObject({ ok: true });
  await cluster.clock.runUntil(() => !cluster.pool('demo').isPaused);
  expect(await cluster.reserveNow('demo', { org: 'new' })).toMatchObject({ ok: true, source: 'warm' });
});

test('who has a worker of a paused pool keeps it, hears of it again, renews and releases it', async () => {
  const { cluster, reservation, pause } = await pausedCluster();
  await pause();
  const { id, epoch } = reservation;
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'mine' })).toMatchObject({ ok: true, reservation: { id } });
  await cluster.clock.run(50_000);
  expect(await cluster.askNow(subjects.renew(), { id, epoch })).toMatchObject({ results: [{ id, ok: true }] });
  await cluster.clock.run(50_000);
  expect(await cluster.askNow(subjects.release(), { id, epoch })).toMatchObject({ results: [{ id, ok: true }] });
});

test('a pause sends away whoever waits', async () => {
  const { cluster, admin } = await pausedCluster();
  await cluster.askNow(subjects.admin(), { type: 'hold', pool: 'demo' });
  expect(await cluster.reserveNow('demo', { org: 'second' })).toMatchObject({ ok: true });
  const waiting = cluster.reserve('demo', { org: 'third', waitMs: 25_000 });
  await cluster.clock.runUntil(() => cluster.pool('demo').waiting === 1);
  await admin('pause');
  const sinceMs = cluster.clock.monotonicMs();
  expect(await cluster.clock.resolve(waiting)).toMatchObject(PAUSED);
  expect(cluster.clock.monotonicMs() - sinceMs).toBeLessThan(2_000);
});

test('a new owner of the pool, and a new janitor, know that it is paused', async () => {
  const { cluster, pause } = await pausedCluster(3);
  await pause();
  for (const shard of ['demo', 'janitor']) {
    const owner = cluster.ownerOf(shard);
    if (owner !== undefined) cluster.kill(owner);
    await cluster.clock.runUntil(() => cluster.ownerOf(shard) !== undefined);
  }
  for (let n = 0; n < 5; n += 1) expect(await cluster.reserveNow('demo', { org: `org-${n}` })).toMatchObject(PAUSED);
});

test('it stays paused while the journals are read again', async () => {
  const { cluster, admin, pause } = await pausedCluster();
  // So many records that the pause does not come with the first that are read.
  while (cluster.server.lastSeq < 600) await cluster.reserveNow('other', { org: 'busy' });
  await pause();
  const before = cluster.server.lastSeq;
  await admin('pause', 'other');
  cluster.network.transit = ({ from, to }) => (from === 'journal' || to === 'journal' ? [100] : [0]);
  cluster.server.loseTail(before);
  const answers: { readonly ok: boolean }[] = [];
  for (let n = 0; n < 1_000; n += 10) {
    cluster.clock.setTimer(n, () => void cluster.reserve('demo', { org: `org-${n}` }).then((answer) => answers.push(answer)));
  }
  await cluster.clock.runUntil(() => answers.length === 100, 60_000);
  expect(cluster.any.metrics.value('muster_shadow_reloads_total')).toBe(1);
  expect(answers.filter(({ ok }) => ok)).toEqual([]);
});

test('a pool that was removed and comes again is not paused', async () => {
  const { cluster, pause } = await pausedCluster();
  await pause();
  const apply = (pools: string) => cluster.askNow(subjects.admin(), { type: 'apply', yaml: `cluster: { name: test }\npools: ${pools}` });
  expect(await apply('{ other: { driver: simulated, floor: 1 } }')).toMatchObject({ ok: true });
  expect(await apply('{ other: { driver: simulated, floor: 1 }, demo: { driver: simulated, floor: 1, recycle: same-org } }')).toMatchObject(
    {
      ok: true,
    },
  );
  await cluster.clock.runUntil(() => cluster.any.pools.view.pools().pools.some(({ pool }) => pool === 'demo'));
  expect(cluster.pool('demo').isPaused).toBe(false);
});

test('a pool that is not there cannot be paused', async () => {
  const { admin } = await pausedCluster();
  expect(await admin('pause', 'nowhere')).toMatchObject({ ok: false, error: { code: 'not-found', field: 'pool' } });
});
