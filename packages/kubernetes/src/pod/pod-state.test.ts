import type { V1ContainerState, V1PodCondition, V1PodStatus } from '@kubernetes/client-node';
import { expect, test } from 'vitest';
import type { Pod } from '../objects.ts';
import { podStateOf } from './pod-state.ts';

type Condition = Partial<V1PodCondition> & Pick<V1PodCondition, 'type' | 'status'>;
interface Given extends Omit<V1PodStatus, 'conditions' | 'containerStatuses'> {
  readonly conditions?: Condition[];
  readonly worker?: V1ContainerState;
  readonly sidecar?: V1ContainerState;
  readonly isDeleted?: boolean;
}
function stateOf({ worker, sidecar, isDeleted, ...status }: Given) {
  const containers = [
    sidecar === undefined ? [] : [{ name: 'sidecar', state: sidecar }],
    worker === undefined ? [] : [{ name: 'worker', state: worker }],
  ];
  const pod = {
    metadata: { name: 'a', ...(isDeleted ? { deletionTimestamp: '2026-11-23T15:06:30Z' } : {}) },
    spec: { containers: [{ name: 'sidecar' }, { name: 'worker' }] },
    status: { ...status, containerStatuses: containers.flat() },
  };
  return podStateOf(pod as unknown as Pod);
}
const ended = (exitCode: number, reason: string): V1ContainerState => ({ terminated: { exitCode, reason } });
const waits = (reason: string, message?: string): V1ContainerState => ({
  waiting: { reason, ...(message === undefined ? {} : { message }) },
});
const running: V1ContainerState = { running: {} };
const scheduled: Condition = { type: 'PodScheduled', status: 'True' };
const at = { isReady: false, isLeaving: false };

test('a pod on its way is starting, a placed one that runs is running, and ready when it says so', () => {
  expect(stateOf({ phase: 'Pending' })).toEqual({ state: 'starting', ...at });
  expect(stateOf({ phase: 'Pending', conditions: [scheduled], worker: waits('ContainerCreating') })).toEqual({ state: 'starting', ...at });
  expect(stateOf({ phase: 'Running', worker: running })).toEqual({ state: 'running', ...at });
  expect(stateOf({ phase: 'Running', worker: running, conditions: [{ type: 'Ready', status: 'True' }] })).toEqual({
    state: 'running',
    isReady: true,
    isLeaving: false,
  });
});

test('a pod that is being deleted is not ready, and still runs', () => {
  expect(stateOf({ phase: 'Running', worker: running, isDeleted: true, conditions: [{ type: 'Ready', status: 'True' }] })).toEqual({
    state: 'running',
    reason: 'deleted: its end was asked for',
    isReady: false,
    isLeaving: true,
  });
});

test('a pod without a node is unschedulable, with the words of the scheduler; also behind a gate', () => {
  const message = '0/3 nodes are available: 3 Insufficient cpu.';
  const condition: Condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message };
  expect(stateOf({ phase: 'Pending', conditions: [condition] })).toEqual({
    state: 'unschedulable',
    reason: `unschedulable: ${message}`,
    ...at,
  });
  expect(stateOf({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] })).toMatchObject({
    state: 'unschedulable',
    reason: 'unschedulable: SchedulingGated',
  });
});

test.each([
  ['ImagePullBackOff', 'image-pull', 'soon'],
  ['ErrImagePull', 'image-pull', 'soon'],
  ['InvalidImageName', 'image-pull', 'never'],
  ['CreateContainerConfigError', 'container-config', 'soon'],
  ['CrashLoopBackOff', 'crash-loop', 'never'],
] as const)('%s is %s, and may pass: %s', (reason, fault, stuck) => {
  expect(stateOf({ phase: 'Pending', conditions: [scheduled], worker: waits(reason, 'words') })).toEqual({
    state: 'starting',
    reason: `${fault}: ${reason}: words`,
    stuck,
    ...at,
  });
});

test.each<readonly [string, Given, string]>([
  ['out of memory', { phase: 'Failed', worker: ended(137, 'OOMKilled') }, 'oom-killed: worker exit 137'],
  [
    'evicted by the kubelet, whatever killed the container',
    { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.', worker: ended(137, 'OOMKilled') },
    'evicted: The node was low on resource: memory.',
  ],
  [
    'evicted by the API',
    {
      phase: 'Failed',
      worker: ended(143, 'Error'),
      conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'Eviction API: evicting' }],
    },
    'evicted: Eviction API: evicting',
  ],
  [
    'its node is gone',
    { phase: 'Failed', conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByPodGC', message: 'node not found' }] },
    'node-lost: node not found',
  ],
  ['crashed', { phase: 'Failed', worker: ended(1, 'Error') }, 'crashed: worker exit 1'],
  ['ended by itself', { phase: 'Succeeded', worker: ended(0, 'Completed') }, 'completed: worker exit 0'],
  ['ended, while a sidecar goes on', { phase: 'Running', sidecar: running, worker: ended(2, 'Error') }, 'crashed: worker exit 2'],
  [
    'the sidecar did not, the worker did',
    { phase: 'Running', sidecar: ended(0, 'Completed'), worker: ended(3, 'Error') },
    'crashed: worker exit 3',
  ],
])('exited: %s', (_what, given, reason) => {
  expect(stateOf(given)).toEqual({ state: 'exited', reason, ...at });
});

test('a sidecar that has ended is not the end of the worker', () => {
  expect(stateOf({ phase: 'Running', sidecar: ended(1, 'Error'), worker: running }).state).toBe('running');
});

test('a node that does not answer makes its pods unreachable, which is not the same as gone', () => {
  const conditions: Condition[] = [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'not ready' }];
  expect(stateOf({ phase: 'Running', worker: running, isDeleted: true, conditions })).toEqual({
    state: 'unreachable',
    reason: 'node-lost: not ready',
    isReady: false,
    isLeaving: true,
  });
  expect(stateOf({ phase: 'Unknown' }).state).toBe('unreachable');
});

test('words are bounded', () => {
  expect(stateOf({ phase: 'Failed', reason: 'Evicted', message: 'x'.repeat(5_000) }).reason?.length).toBeLessThan(330);
});
