// What the driver of pods promises, by the API alone: the same cases run on the double and on a real API server.
import { expect, test } from 'vitest';
import { eventually, podStories } from '@muster/testkit';
import { type KubernetesWorld, listenTo, makeWorker, startKubernetesWorld } from './kubernetes-world.ts';

/** Why a case is left out on a cluster with real nodes. */
const NOT_PLAYED = 'what befalls pods of real nodes cannot be said';
/** A real node has an image to pull. */
const SLOW = { timeoutMs: 60_000 };

async function labelOf(world: KubernetesWorld, pod: string): Promise<string | undefined> {
  return (await world.pod(pod)).metadata.labels?.['muster.dev/org'];
}

test('a worker is a pod and a Secret that it owns; making it again is making it once', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver();
  const first = await driver.create(makeWorker('duckdb-1'));
  expect(first).toMatchObject({ kind: 'created', handle: { podUid: expect.any(String) } });
  expect(await driver.create(makeWorker('duckdb-1'))).toEqual(first);
  const [pod] = await world.objects('pods');
  const [secret] = await world.objects('secrets');
  expect(pod?.metadata).toMatchObject({
    name: 'duckdb-1',
    labels: {
      'app.kubernetes.io/managed-by': 'muster',
      'muster.dev/cluster': 'demo',
      'muster.dev/pool': 'duckdb',
      'muster.dev/shard': 'duckdb',
      'muster.dev/slot': 'duckdb-1',
    },
  });
  expect(pod?.metadata['ownerReferences']).toBeUndefined();
  expect(secret?.metadata).toMatchObject({
    name: 'duckdb-1',
    ownerReferences: [{ kind: 'Pod', name: 'duckdb-1', uid: pod?.metadata.uid }],
  });
  expect(await world.names('pods')).toEqual(['duckdb-1']);
  expect(await world.names('secrets')).toEqual(['duckdb-1']);
});

test('two replicas that start the same slot at once make one pod', async () => {
  await using world = await startKubernetesWorld();
  const outcomes = await Promise.all(
    [world.driver(), world.driver(), world.driver()].map((driver) => driver.create(makeWorker('duckdb-1'))),
  );
  expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size).toBe(1);
  expect(outcomes[0]).toMatchObject({ kind: 'created' });
  expect(await world.names('pods')).toEqual(['duckdb-1']);
});

test('a worker runs when its pod does, and is gone with its Secret when it was stopped; it is never made again', async () => {
  await using world = await startKubernetesWorld();
  await world.cluster.runPods({ story: () => ({ startMs: 20, stopMs: 200 }) });
  const driver = world.driver();
  const { last } = listenTo(driver);
  const outcome = await driver.create(makeWorker('duckdb-1'));
  if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
  await eventually(
    () => expect(last.get('duckdb-1')).toMatchObject({ state: 'running', isReady: true, address: expect.any(String) }),
    SLOW,
  );
  expect((await driver.list()).workers).toMatchObject([{ slot: 'duckdb-1', shard: 'duckdb', state: 'running', handle: outcome.handle }]);
  await driver.destroy('duckdb-1', outcome.handle);
  expect(await world.names('pods')).toEqual([]);
  expect(await world.names('secrets')).toEqual([]);
  expect((await driver.list()).workers).toEqual([]);
  expect(last.get('duckdb-1')).toMatchObject({ state: 'exited' });
  expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({ kind: 'exited' });
  expect(await world.names('pods')).toEqual([]);
});

test('stopping what was never there, and stopping twice, is success', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver();
  await driver.destroy('duckdb-1', {});
  await driver.destroy('duckdb-1', { podUid: '00000000-0000-0000-0000-000000000000' });
});

test('whoever does not know the uid stops what is there of the slot', async () => {
  await using world = await startKubernetesWorld();
  await world.driver().create(makeWorker('duckdb-1'));
  await world.driver().destroy('duckdb-1', {});
  expect(await world.names('pods')).toEqual([]);
});

test('a late pod of a slot is stopped too, though its uid is another', async () => {
  await using world = await startKubernetesWorld();
  await world.driver().create(makeWorker('duckdb-1'));
  await world.driver().destroy('duckdb-1', { podUid: '00000000-0000-0000-0000-000000000000' });
  expect(await world.names('pods')).toEqual([]);
});

test("a pod that is not this slot's is left alone, whatever its name", async () => {
  await using world = await startKubernetesWorld();
  const spec = { automountServiceAccountToken: false, containers: [{ name: 'a', image: 'b' }] };
  await world.api.call('POST', `${world.path}/pods`, { body: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'duckdb-1' }, spec } });
  const driver = world.driver();
  expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({
    kind: 'failed',
    reason: expect.stringMatching(/^name-taken: /),
    retryable: false,
  });
  await driver.destroy('duckdb-1', {});
  expect(await world.names('pods')).toEqual(['duckdb-1']);
});

test('what is of another cluster is neither listed, nor watched, nor stopped', async () => {
  await using world = await startKubernetesWorld();
  await world.driver({ cluster: 'other' }).create(makeWorker('duckdb-9'));
  const driver = world.driver();
  const { all } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  expect((await driver.list()).workers.map(({ slot }) => slot)).toEqual(['duckdb-1']);
  await eventually(() => expect(all.length).toBeGreaterThan(0));
  expect(new Set(all.map(({ slot }) => slot))).toEqual(new Set(['duckdb-1']));
  await driver.destroy('duckdb-9', {});
  expect(await world.names('pods')).toContain('duckdb-9');
});

test.each([
  ['a value that cannot be', { containers: [{ name: 'worker', image: 'i', imagePullPolicy: 'Sometimes' }] }],
  ['a field that nobody knows', { containers: [{ name: 'worker', image: 'i', comand: ['x'] }] }],
])('an invalid template is refused with the path and not tried again: %s', async (_what, spec) => {
  await using world = await startKubernetesWorld();
  const template = { env: {}, memoryBytes: 1, podTemplate: { spec } };
  expect(await world.driver().create(makeWorker('duckdb-1', { template }))).toMatchObject({
    kind: 'failed',
    reason: expect.stringMatching(/^invalid-template: .*containers\[0\]/),
    retryable: false,
  });
  expect(await world.names('pods')).toEqual([]);
});

test('over the quota is worth another try, and says so', async () => {
  await using world = await startKubernetesWorld();
  const quotas = `${world.path}/resourcequotas`;
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q' }, spec: { hard: { pods: '0' } } };
  await world.api.call('POST', quotas, { body: quota });
  // What the quota's controller writes, where there is one.
  const status = { hard: { pods: '0' }, used: { pods: '0' } };
  const contentType = 'application/merge-patch+json';
  await world.api.call('PATCH', `${quotas}/q/status`, { body: { status }, contentType });
  const driver = world.driver();
  await eventually(async () =>
    expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/^quota: .*exceeded quota: q/),
      retryable: true,
    }),
  );
  expect(await world.names('pods')).toEqual([]);
});

test('without the right to make pods it is forbidden, and not tried again', async () => {
  await using world = await startKubernetesWorld();
  const outcome = await world.driver({ connection: { kubeconfig: world.kubeconfig, namespace: 'default' } }).create(makeWorker('duckdb-1'));
  expect(outcome).toMatchObject({ kind: 'failed', reason: expect.stringMatching(/^forbidden: /), retryable: false });
});

test('a pod without room is unschedulable, and placed when there is some', async ({ skip }) => {
  await using world = await startKubernetesWorld();
  const cluster = await world.cluster.runPods({ nodes: { initial: 0 } });
  if (cluster === undefined) return skip(NOT_PLAYED);
  const driver = world.driver();
  const { last } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() =>
    expect(last.get('duckdb-1')).toMatchObject({ state: 'unschedulable', reason: expect.stringMatching(/^unschedulable: 0\/0 nodes/) }),
  );
  cluster.addNode();
  await eventually(() => expect(last.get('duckdb-1')?.state).toBe('running'), SLOW);
});

test.for([
  ['image-pull', podStories.imagePullBackOff(), /^image-pull: ImagePullBackOff: Back-off pulling image/],
  ['container-config', { waiting: { reason: 'CreateContainerConfigError', message: 'secret not found' } }, /^container-config: /],
  ['oom-killed', podStories.oom(20), /^oom-killed: worker exit 137/],
  ['crashed', podStories.crash(20, 3), /^crashed: worker exit 3/],
  ['evicted', podStories.evicted(20), /^evicted: The node was low on resource/],
] as const)('%s is told with its reason, and the pod can still be removed', async ([_fault, story, reason], { skip }) => {
  await using world = await startKubernetesWorld();
  if ((await world.cluster.runPods({ story: () => story })) === undefined) return skip(NOT_PLAYED);
  const driver = world.driver();
  const { last } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() =>
    expect(last.get('duckdb-1')).toMatchObject({ state: 'exited', reason: expect.stringMatching(reason), hasRemains: true }),
  );
  await driver.destroy('duckdb-1', last.get('duckdb-1')?.handle ?? {});
  expect(await world.names('pods')).toEqual([]);
});

test('a pod in a back-off is given time before it is given up', async ({ skip }) => {
  await using world = await startKubernetesWorld();
  if ((await world.cluster.runPods({ story: () => podStories.imagePullBackOff() })) === undefined) return skip(NOT_PLAYED);
  const driver = world.driver({ timings: { patienceMs: 60_000 } });
  const { last } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.get('duckdb-1')).toMatchObject({ state: 'starting', reason: expect.stringMatching(/^image-pull: /) }));
});

test('a pod that somebody else deletes is leaving, and then gone with that reason', async () => {
  await using world = await startKubernetesWorld();
  await world.cluster.runPods({ story: () => ({ startMs: 20, stopMs: 100 }) });
  const driver = world.driver();
  const { last, all } = listenTo(driver);
  await driver.create(makeWorker('duckdb-1'));
  await eventually(() => expect(last.get('duckdb-1')?.state).toBe('running'), SLOW);
  await world.api.call('DELETE', `${world.path}/pods/duckdb-1`);
  await eventually(() => expect(last.get('duckdb-1')).toMatchObject({ state: 'exited', reason: expect.stringMatching(/^deleted: /) }));
  await eventually(async () => expect(await world.names('pods')).toEqual([]));
  expect(all.some(({ isLeaving, isReady }) => isLeaving === true && isReady === false)).toBe(true);
  expect(await driver.create(makeWorker('duckdb-1'))).toMatchObject({ kind: 'exited' });
});

test('a Secret whose pod is not there is listed as what is left, and removed by its slot', async () => {
  await using world = await startKubernetesWorld();
  const labels = (slot: string, cluster: string) => ({
    'app.kubernetes.io/managed-by': 'muster',
    'muster.dev/cluster': cluster,
    'muster.dev/shard': 'duckdb',
    'muster.dev/slot': slot,
  });
  for (const [name, cluster] of [
    ['duckdb-1', 'demo'],
    ['duckdb-9', 'other'],
  ] as const) {
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name, labels: labels(name, cluster) } };
    await world.api.call('POST', `${world.path}/secrets`, { body });
  }
  const driver = world.driver();
  expect((await driver.list()).workers).toMatchObject([{ slot: 'duckdb-1', state: 'exited', hasRemains: true, handle: {} }]);
  await driver.destroy('duckdb-1', {});
  expect(await world.names('secrets')).toEqual(['duckdb-9']);
});

test('a Secret of an earlier pod of the name is made anew for this one', async () => {
  await using world = await startKubernetesWorld();
  const labels = {
    'app.kubernetes.io/managed-by': 'muster',
    'muster.dev/cluster': 'demo',
    'muster.dev/pool': 'duckdb',
    'muster.dev/shard': 'duckdb',
    'muster.dev/slot': 'duckdb-1',
  };
  await world.api.call('POST', `${world.path}/secrets`, {
    body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'duckdb-1', labels }, data: { token: 'b2xk' } },
  });
  const outcome = await world.driver().create(makeWorker('duckdb-1'));
  if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
  const [secret] = await world.objects('secrets');
  expect(secret).toMatchObject({
    metadata: { ownerReferences: [{ uid: outcome.handle.podUid }] },
    data: { token: Buffer.from('token of duckdb-1').toString('base64') },
  });
});

test('the org of a reserved worker is a label of its pod, the last one counts, and none is taken off', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver();
  const outcome = await driver.create(makeWorker('duckdb-1'));
  if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
  driver.noteOrg('duckdb-1', outcome.handle, 'acme');
  await eventually(async () => expect(await labelOf(world, 'duckdb-1')).toBe('acme'));
  driver.noteOrg('duckdb-1', outcome.handle, '_strange_');
  await eventually(async () => expect(await labelOf(world, 'duckdb-1')).toMatch(/^org-[0-9a-f]{40}$/));
  driver.noteOrg('duckdb-1', { podUid: '00000000-0000-0000-0000-000000000000' }, 'other');
  driver.noteOrg('duckdb-2', {}, 'gone');
  driver.noteOrg('duckdb-1', outcome.handle, 'last');
  await eventually(async () => expect(await labelOf(world, 'duckdb-1')).toBe('last'));
});

test('what there is comes in pages, and none is missing', async () => {
  await using world = await startKubernetesWorld();
  const driver = world.driver({ timings: { pageSize: 3 } });
  const slots = Array.from({ length: 10 }, (_, n) => `duckdb-${n}`);
  await Promise.all(slots.map((slot) => driver.create(makeWorker(slot))));
  expect((await driver.list()).workers.map(({ slot }) => slot).toSorted()).toEqual(slots);
});
