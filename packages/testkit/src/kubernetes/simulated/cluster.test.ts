import { expect, test } from 'vitest';
import { eventually } from '../../eventually.ts';
import { type KubernetesDouble, startKubernetesDouble } from '../double.ts';
import { listAt, objectAt, stringAt } from '../object.ts';
import { ApiClient } from './api-client.ts';
import { startSimulatedCluster } from './cluster.ts';
import { type PodStory, podStories } from './played-pods.ts';

const PODS = '/api/v1/namespaces/pool/pods';

async function createPods(double: KubernetesDouble, ...names: readonly string[]): Promise<void> {
  const client = new ApiClient(double.access());
  const spec = { restartPolicy: 'Never', containers: [{ name: 'worker', image: 'registry.example/worker:1' }] };
  await Promise.all(names.map((name) => client.call('POST', PODS, { body: { metadata: { name }, spec } })));
  client.close();
}

function statusOf(double: KubernetesDouble, name: string): Readonly<Record<string, unknown>> {
  return objectAt(double.find('pods', 'pool', name), 'status');
}

function conditionOf(double: KubernetesDouble, name: string, type: string): Readonly<Record<string, unknown>> {
  return objectAt(listAt(statusOf(double, name), 'conditions').find((one) => stringAt(one, 'type') === type));
}

function containerStateOf(double: KubernetesDouble, name: string): Readonly<Record<string, unknown>> {
  return objectAt(listAt(statusOf(double, name), 'containerStatuses')[0], 'state');
}

const isReady = (double: KubernetesDouble, name: string): boolean => conditionOf(double, name, 'Ready')['status'] === 'True';

test('a pod gets a node, runs and is ready, with an address of its own', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  await using _cluster = await startSimulatedCluster(double.access(), { nodes: { initial: 1 }, story: () => ({ startMs: 1 }) });
  await createPods(double, 'one', 'other');
  await eventually(() => isReady(double, 'one') && isReady(double, 'other'));
  expect(statusOf(double, 'one')).toMatchObject({ phase: 'Running', podIP: expect.stringMatching(/^10\.244\./) as string });
  expect(statusOf(double, 'one')['podIP']).not.toBe(statusOf(double, 'other')['podIP']);
  expect(stringAt(double.find('pods', 'pool', 'one'), 'spec', 'nodeName')).toBe('node-1');
});

test('what fits nowhere is unschedulable until the nodes have come, and no node has more than it takes', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  const nodes = { initial: 0, podsPerNode: 2, arriveMs: 200, max: 10 };
  await using cluster = await startSimulatedCluster(double.access(), { nodes, story: () => ({ startMs: 1 }) });
  const names = ['a', 'b', 'c', 'd', 'e'];
  await createPods(double, ...names);
  await eventually(() => {
    for (const name of names) expect(conditionOf(double, name, 'PodScheduled')).toMatchObject({ status: 'False', reason: 'Unschedulable' });
  });
  await eventually(() => names.every((name) => isReady(double, name)));
  expect(cluster.nodes).toHaveLength(3);
  const placed = Map.groupBy(double.objects('pods', 'pool'), (pod) => stringAt(pod, 'spec', 'nodeName'));
  expect([...placed.values()].map((pods) => pods.length).toSorted((one, other) => one - other)).toEqual([1, 2, 2]);
  const bindings = double.requests.filter(({ subresource }) => subresource === 'binding');
  expect(bindings).toHaveLength(names.length);
});

test('a pod that fails does so in the forms of a real kubelet', async () => {
  const stories: Readonly<Record<string, PodStory>> = {
    unpulled: { startMs: 1, ...podStories.imagePullBackOff() },
    crashed: { startMs: 1, ...podStories.crash(1, 3) },
    oom: { startMs: 1, ...podStories.oom(1) },
    evicted: { startMs: 1, ...podStories.evicted(1) },
    unready: { startMs: 1, ...podStories.neverReady() },
  };
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  await using _cluster = await startSimulatedCluster(double.access(), { story: ({ metadata }) => stories[metadata.name] ?? {} });
  await createPods(double, ...Object.keys(stories));
  await eventually(() => {
    expect(containerStateOf(double, 'unpulled')).toMatchObject({ waiting: { reason: 'ImagePullBackOff' } });
    expect(statusOf(double, 'unpulled')['phase']).toBe('Pending');
    expect(containerStateOf(double, 'crashed')).toMatchObject({ terminated: { exitCode: 3, reason: 'Error' } });
    expect(conditionOf(double, 'crashed', 'Ready')).toMatchObject({ status: 'False', reason: 'PodFailed' });
    expect(containerStateOf(double, 'oom')).toMatchObject({ terminated: { exitCode: 137, reason: 'OOMKilled' } });
    expect(statusOf(double, 'oom')['phase']).toBe('Failed');
    expect(statusOf(double, 'evicted')).toMatchObject({ phase: 'Failed', reason: 'Evicted' });
    expect(conditionOf(double, 'evicted', 'DisruptionTarget')).toMatchObject({ status: 'True', reason: 'TerminationByKubelet' });
    expect(conditionOf(double, 'unready', 'Ready')).toMatchObject({ status: 'False', reason: 'ContainersNotReady' });
    expect(statusOf(double, 'unready')['phase']).toBe('Running');
  });
});

test('a pod that is deleted has its grace period to end, and is then deleted for good', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  await using _cluster = await startSimulatedCluster(double.access(), {
    story: ({ metadata }) => ({ startMs: 1, stopMs: metadata.name === 'slow' ? Number.POSITIVE_INFINITY : 0 }),
  });
  await createPods(double, 'quick', 'slow');
  await eventually(() => isReady(double, 'quick') && isReady(double, 'slow'));
  const client = new ApiClient(double.access());
  const answers = await Promise.all(
    ['quick', 'slow'].map((name) => client.call('DELETE', `${PODS}/${name}`, { body: { gracePeriodSeconds: 1 } })),
  );
  for (const one of answers) expect(objectAt(one, 'metadata')).toMatchObject({ deletionGracePeriodSeconds: 1 });
  await eventually(() => double.find('pods', 'pool', 'quick') === undefined);
  expect(double.find('pods', 'pool', 'slow'), 'it ignores the request to end').toBeDefined();
  await eventually(() => double.find('pods', 'pool', 'slow') === undefined);
  client.close();
});

test('a node that is lost takes its pods with it when that is believed, and not before', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  await using cluster = await startSimulatedCluster(double.access(), { nodes: { initial: 1 }, story: () => ({ startMs: 1 }) });
  await createPods(double, 'away', 'back');
  await eventually(() => isReady(double, 'away') && isReady(double, 'back'));
  cluster.loseNode('node-1', { notReadyMs: 20, evictMs: 20 });
  expect(isReady(double, 'away'), 'nobody knows yet').toBe(true);
  await eventually(() => {
    const pod = double.find('pods', 'pool', 'away');
    expect(conditionOf(double, 'away', 'Ready')).toMatchObject({ status: 'False' });
    expect(conditionOf(double, 'away', 'DisruptionTarget')).toMatchObject({ status: 'True', reason: 'DeletionByTaintManager' });
    expect(pod?.metadata.deletionTimestamp, 'nobody is there to end it').toBeDefined();
  });
  cluster.returnNode('node-1');
  await eventually(() => double.objects('pods', 'pool').length === 0);
});

test('the pods of a node that was taken away have failed and are removed', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  await using cluster = await startSimulatedCluster(double.access(), { nodes: { initial: 1 }, story: () => ({ startMs: 1 }) });
  await createPods(double, 'away');
  await eventually(() => isReady(double, 'away'));
  const client = new ApiClient(double.access());
  const phases: unknown[] = [];
  const stop = await client.watch(`${PODS}?watch=true&resourceVersion=${double.revision}`, {
    onEvent: ({ type, object }) => phases.push([type, stringAt(object, 'status', 'phase')]),
    onEnd: () => {},
  });
  cluster.loseNode('node-1', { notReadyMs: 1, evictMs: 1, isRemoved: true });
  await eventually(() => double.objects('pods', 'pool').length === 0);
  await eventually(() => expect(phases.at(-1)).toEqual(['DELETED', 'Failed']));
  stop();
  client.close();
});

test('a pod whose Secret is missing says so, and starts when it is there', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['pool'] });
  await using _cluster = await startSimulatedCluster(double.access(), { story: () => ({ startMs: 1 }) });
  const client = new ApiClient(double.access());
  const env = [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'token', key: 'token' } } }];
  const spec = { restartPolicy: 'Never', containers: [{ name: 'worker', image: 'worker:1', env }] };
  await client.call('POST', PODS, { body: { metadata: { name: 'early' }, spec } });
  await eventually(() => expect(containerStateOf(double, 'early')).toMatchObject({ waiting: { reason: 'CreateContainerConfigError' } }));
  await client.call('POST', '/api/v1/namespaces/pool/secrets', { body: { metadata: { name: 'token' }, stringData: { token: 'x' } } });
  await eventually(() => isReady(double, 'early'));
  client.close();
});
