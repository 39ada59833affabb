// What the API server does at its worst, on the double: it refuses, hangs, forgets, loses answers, lies and goes away.
import { MemoryMetrics } from '@muster/ports';
import { eventually, type FaultMatch, type KubernetesDouble, type WatchFault } from '@muster/testkit';
import { expect, test } from 'vitest';
import { type KubernetesWorld, listenTo, makeWorker, startKubernetesWorld } from './kubernetes-world.ts';

const CREATE: FaultMatch = { verbs: ['create'], resource: 'pods' };
const STALENESS = 'muster_kubernetes_watch_staleness_seconds';
const RELISTS = 'muster_kubernetes_relists_total';

function doubleOf(world: KubernetesWorld): KubernetesDouble {
  if (world.double === undefined) throw new Error('these cases are for the double');
  return world.double;
}
/** Requests of the driver, by what they were for. */
function asked(world: KubernetesWorld, verb: string, plural: string): number {
  return doubleOf(world).requests.filter(
    (one) => one.verb === verb && one.resource === plural && one.user.startsWith('system:serviceaccount:'),
  ).length;
}

/** The next watches end in this way after one event. */
function breakWatches(world: KubernetesWorld, how: WatchFault, times: number): void {
  doubleOf(world).faults.add({ verbs: ['watch'], resource: 'pods' }, { kind: 'watch', afterEvents: 1, fate: how }, times);
}

test('throttled: the server is left alone for as long as it wants, and the create succeeds in one call', async () => {
  await using world = await startKubernetesWorld();
  const fault = doubleOf(world).faults.add(CREATE, { kind: 'refuse', status: 429, retryAfterSeconds: 1 }, 1);
  const startedMs = performance.now();
  expect(await world.driver().create(makeWorker('duckdb-1'))).toMatchObject({ kind: 'created' });
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(1_000);
  expect(fault.hits).toBe(1);
});

test('throttled one by one is throttled together: nobody else calls meanwhile', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver();
  const fault = doubleOf(world).faults.add(CREATE, { kind: 'refuse', status: 429, retryAfterSeconds: 1 }, 1);
  const first = driver.create(makeWorker('duckdb-0'));
  await eventually(() => expect(fault.hits).toBe(1));
  const startedMs = performance.now();
  await Promise.all([first, ...Array.from({ length: 10 }, (_, n) => driver.create(makeWorker(`duckdb-${n + 1}`)))]);
  expect(performance.now() - startedMs).toBeGreaterThan(800);
  expect(await world.names('pods')).toHaveLength(11);
});

test('35 starts are under way at once: none waits for another', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ timings: { callTimeoutMs: 5_000 } });
  const unanswered = doubleOf(world).faults.add(CREATE, { kind: 'hang' }, 35);
  const starts = Promise.allSettled(Array.from({ length: 35 }, (_, n) => driver.create(makeWorker(`duckdb-${n}`))));
  await eventually(() => expect(unanswered.hits).toBe(35));
  expect((await starts).map(({ status }) => status)).toEqual(Array.from({ length: 35 }, () => 'rejected'));
});

test.each([
  ['an error of the server', { kind: 'refuse', status: 500 }],
  ['a connection that breaks before it was done', { kind: 'drop' }],
  ['a connection that breaks after it was done', { kind: 'lose-answer' }],
  ['no answer in time', { kind: 'hang' }],
  ['an answer that comes too late', { kind: 'delay-answer', ms: 2_000 }],
] as const)('%s: the outcome is unknown, and asking again makes one pod', async (_what, fault) => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ timings: { callTimeoutMs: 500 } });
  doubleOf(world).faults.add(CREATE, fault, 1);
  await expect(driver.create(makeWorker('duckdb-1'))).rejects.toMatchObject({ code: 'driver-unavailable' });
  const again = await driver.create(makeWorker('duckdb-1'));
  expect(again).toMatchObject({ kind: 'created' });
  expect(await world.objects('pods')).toMatchObject([
    { metadata: { name: 'duckdb-1', uid: again.kind === 'created' ? again.handle.podUid : '' } },
  ]);
  expect(await world.names('secrets')).toEqual(['duckdb-1']);
});

test('the Secret fails after the pod was made: asking again completes it', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver();
  doubleOf(world).faults.add({ verbs: ['create'], resource: 'secrets' }, { kind: 'refuse', status: 503 }, 1);
  await expect(driver.create(makeWorker('duckdb-1'))).rejects.toMatchObject({ code: 'driver-unavailable' });
  expect(await world.names('secrets')).toEqual([]);
  expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({ kind: 'created' });
  expect(await world.names('secrets')).toEqual(['duckdb-1']);
});

test.each([{ kind: 'lose-answer' }, { kind: 'drop' }, { kind: 'refuse', status: 500 }] as const)(
  'a stop that fails with $kind may be asked for again',
  async (fault) => {
    await using world = await startKubernetesWorld();
    const driver = world.driver();
    const outcome = await driver.create(makeWorker('duckdb-1'));
    const handle = outcome.kind === 'created' ? outcome.handle : {};
    doubleOf(world).faults.add({ verbs: ['delete'], resource: 'pods' }, fault, 1);
    await expect(driver.destroy('duckdb-1', handle)).rejects.toMatchObject({ code: 'driver-unavailable' });
    await driver.destroy('duckdb-1', handle);
    expect([await world.names('pods'), await world.names('secrets')]).toEqual([[], []]);
  },
);

test('a pod that does not end in its grace is not said to be gone', async () => {
  await using world = await startKubernetesWorld();
  await world.cluster.runPods({ story: () => ({ startMs: 10, stopMs: 60_000 }) });
  const driver = world.driver({ timings: { goneWaitMs: 100, goneCheckMs: 50 } });
  const { last } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.get('duckdb-1')?.state).toBe('running'));
  await expect(driver.destroy('duckdb-1', last.get('duckdb-1')?.handle ?? {})).rejects.toMatchObject({ code: 'driver-unavailable' });
  expect(await world.names('pods')).toEqual(['duckdb-1']);
});

test.each<WatchFault>(['hang', 'end', 'cut', 'break', 'garbage', 'expire'])(
  'a watch that meets "%s" is made good: what happens after is heard',
  async (then) => {
    await using world = await startKubernetesWorld();
    breakWatches(world, then, 2);
    const driver = world.driver({ timings: { watchStalledMs: 400 } });
    const { last } = listenTo(driver);
    for (let n = 1; n <= 6; n += 1) {
      await driver.create(makeWorker(`duckdb-${n}`));
      await eventually(() => expect(last.has(`duckdb-${n}`)).toBe(true));
    }
    await driver.destroy('duckdb-1', {});
    await eventually(() => expect(last.get('duckdb-1')?.state).toBe('exited'));
  },
);

test.each([410, 429, 500, 503])('a watch that is refused with %i is opened again', async (status) => {
  await using world = await startKubernetesWorld();
  doubleOf(world).faults.add({ verbs: ['watch'], resource: 'pods' }, { kind: 'refuse', status, retryAfterSeconds: 0 }, 3);
  const driver = world.driver();
  const { last } = listenTo(driver);
  await eventually(() => expect(asked(world, 'watch', 'pods')).toBeGreaterThan(3));
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.has('duckdb-1')).toBe(true));
});

test('a pod that went while the watch was broken is told as gone by the next list', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ timings: { watchStalledMs: 600 } });
  const { last } = listenTo(driver);
  breakWatches(world, 'hang', 1);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.has('duckdb-1')).toBe(true));
  await world.api.call('DELETE', `${world.path}/pods/duckdb-1`);
  await eventually(() => expect(last.get('duckdb-1')).toMatchObject({ state: 'exited', reason: 'deleted: the pod was deleted' }));
});

test('versions expire while the server is away: everything is listed again, once', async () => {
  await using world = await startKubernetesWorld();
  const double = doubleOf(world);
  const metrics = new MemoryMetrics();
  const driver = world.driver({ metrics });
  const { last } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.has('duckdb-1')).toBe(true));
  await double.stop();
  await eventually(() => expect(metrics.value(STALENESS)).toBeGreaterThan(1));
  double.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'later', namespace: world.namespace } });
  double.compact();
  await double.start();
  await driver.create(makeWorker('duckdb-2'));
  await eventually(() => expect(last.has('duckdb-2')).toBe(true));
  expect(metrics.value(RELISTS, { reason: 'expired' })).toBe(1);
  await eventually(() => expect(metrics.value(STALENESS)).toBeLessThan(1));
});

test('a list that is older than what was seen is not believed', async () => {
  await using world = await startKubernetesWorld();
  const double = doubleOf(world);
  const before = double.revision;
  const driver = world.driver();
  const { all, last } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.has('duckdb-1')).toBe(true));
  const stale = double.faults.add({ verbs: ['list'], resource: 'pods' }, { kind: 'stale', revision: before }, 2);
  double.faults.add({ verbs: ['watch'], resource: 'pods' }, { kind: 'refuse', status: 410 }, 1);
  await double.stop();
  await double.start();
  await eventually(() => expect(stale.hits).toBe(2));
  await driver.create(makeWorker('duckdb-2'));
  await eventually(() => expect(last.has('duckdb-2')).toBe(true));
  expect(all.filter(({ slot, state }) => slot === 'duckdb-1' && state === 'exited')).toEqual([]);
});

test('the server is away and comes back: it is asked with a backoff meanwhile, and with no storm after', async () => {
  await using world = await startKubernetesWorld();
  const double = doubleOf(world);
  const drivers = [world.driver(), world.driver(), world.driver()];
  const heard = drivers.map(listenTo);
  await drivers[0]?.create(makeWorker('duckdb-1'));
  await eventually(() => expect(heard.every(({ last }) => last.has('duckdb-1'))).toBe(true));
  const before = double.requests.length;
  await double.stop();
  await expect(drivers[0]?.create(makeWorker('duckdb-2'))).rejects.toMatchObject({ code: 'driver-unavailable' });
  await expect(drivers[0]?.list()).rejects.toMatchObject({ code: 'driver-unavailable' });
  await double.start();
  await drivers[0]?.create(makeWorker('duckdb-2'));
  await eventually(() => expect(heard.every(({ last }) => last.has('duckdb-2'))).toBe(true));
  // For each replica a list and a watch at the most, and what was asked for.
  expect(double.requests.length - before).toBeLessThanOrEqual(3 * 3 + 4);
});

test('calls keep to their rate, whatever is asked at once', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ timings: { callsPerSecond: 50, callsBurst: 20 } });
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: 30 }, (_, n) => driver.create(makeWorker(`duckdb-${n}`))));
  // 60 calls, 20 of them at once.
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(750);
});

test('labels of orgs wait behind everything else', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ timings: { callsPerSecond: 20, callsBurst: 4 } });
  const first = await driver.create(makeWorker('duckdb-1'));
  driver.noteOrg('duckdb-1', first.kind === 'created' ? first.handle : {}, 'acme');
  await Promise.all(Array.from({ length: 10 }, (_, n) => driver.create(makeWorker(`other-${n}`))));
  const order = doubleOf(world)
    .requests.filter(({ verb }) => verb === 'create' || verb === 'patch')
    .map(({ verb }) => verb);
  await eventually(async () => expect((await world.pod('duckdb-1')).metadata.labels?.['muster.dev/org']).toBe('acme'));
  expect(order.at(-1)).toBe('create');
});

test('a kubeconfig that is not there is the outcome of each call, and is read when it is', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ connection: { kubeconfig: `${world.kubeconfig}-later`, namespace: world.namespace } });
  await expect(driver.create(makeWorker('duckdb-1'))).rejects.toMatchObject({
    code: 'driver-unavailable',
    message: expect.stringContaining('kubeconfig-later'),
  });
  await doubleOf(world).writeKubeconfig(`${world.kubeconfig}-later`);
  expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({ kind: 'created' });
});

test('a token that is not taken any more is worth another try', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver();
  doubleOf(world).faults.add(CREATE, { kind: 'refuse', status: 401 }, 1);
  await expect(driver.create(makeWorker('duckdb-1'))).rejects.toMatchObject({ code: 'driver-unavailable' });
  expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({ kind: 'created' });
});
