// What a pod's status means for its slot: one word for the pool, and the typed reason for the slot's history.

import type { WorkerStatus } from '@muster/ports';
import { WORKER_CONTAINER } from '@muster/protocol';
import type { ContainerStatus, Pod } from '../objects.ts';
import { faultText, type WorkerFault } from '../worker-fault.ts';

export interface PodState {
  readonly state: WorkerStatus['state'];
  /** Begins with a `WorkerFault`. */
  readonly reason?: string;
  /** It tries, and will hardly get there: `soon` a moment of patience may help (a registry's hiccup), `never` nothing will. */
  readonly stuck?: 'soon' | 'never';
  readonly isReady: boolean;
  /** Somebody has asked for its end. */
  readonly isLeaving: boolean;
}

const WAITING: Readonly<Record<string, { readonly fault: WorkerFault; readonly stuck: 'soon' | 'never' }>> = {
  ErrImagePull: { fault: 'image-pull', stuck: 'soon' },
  ImagePullBackOff: { fault: 'image-pull', stuck: 'soon' },
  RegistryUnavailable: { fault: 'image-pull', stuck: 'soon' },
  ErrImageNeverPull: { fault: 'image-pull', stuck: 'never' },
  InvalidImageName: { fault: 'image-pull', stuck: 'never' },
  // Its Secret comes a moment after the pod.
  CreateContainerConfigError: { fault: 'container-config', stuck: 'soon' },
  CreateContainerError: { fault: 'container-config', stuck: 'soon' },
  RunContainerError: { fault: 'container-config', stuck: 'soon' },
  CrashLoopBackOff: { fault: 'crash-loop', stuck: 'never' },
};

/** Reads a pod. */
export function podStateOf(pod: Pod): PodState {
  const isLeaving = pod.metadata?.deletionTimestamp !== undefined;
  const isReady = pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  const judged = judge(pod);
  // Whoever is told to end ends somehow: what counts is who told it.
  const isByItself = judged.reason !== undefined && !/^(crashed|completed)/.test(judged.reason);
  const why = isLeaving && !isByItself ? { reason: leavingOf(pod) } : {};
  return { ...judged, ...why, isReady: isReady && !isLeaving, isLeaving };
}

function judge(pod: Pod): Pick<PodState, 'state' | 'reason' | 'stuck'> {
  const status = pod.status ?? {};
  const disruption = disruptionOf(pod);
  const isNodeLost =
    status.reason === 'NodeLost' || disruption?.reason === 'DeletionByTaintManager' || disruption?.reason === 'DeletionByPodGC';
  const lost = (): string => faultText('node-lost', disruption?.message ?? status.message);

  if (status.phase === 'Failed' || status.phase === 'Succeeded') return { state: 'exited', reason: isNodeLost ? lost() : endOf(pod) };
  if (workerOf(pod)?.state?.terminated !== undefined) return { state: 'exited', reason: endOf(pod) };
  if (status.phase === 'Unknown' || isNodeLost) return { state: 'unreachable', reason: lost() };

  const unplaced = status.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False');
  if (unplaced !== undefined) return { state: 'unschedulable', reason: faultText('unschedulable', unplaced.message ?? unplaced.reason) };
  for (const { state } of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
    const known = WAITING[state?.waiting?.reason ?? ''];
    if (known !== undefined) {
      const said = [state?.waiting?.reason, state?.waiting?.message].filter((part) => part !== undefined).join(': ');
      return { state: 'starting', reason: faultText(known.fault, said), stuck: known.stuck };
    }
  }
  return { state: status.phase === 'Running' ? 'running' : 'starting' };
}

function disruptionOf(pod: Pod) {
  return pod.status?.conditions?.find(({ type, status }) => type === 'DisruptionTarget' && status === 'True');
}

/** Who asked for the end of a pod that is still there. */
function leavingOf(pod: Pod): string {
  const disruption = disruptionOf(pod);
  if (disruption === undefined) return faultText('deleted', 'its end was asked for');
  return faultText('evicted', disruption.message ?? disruption.reason);
}

function workerOf(pod: Pod): ContainerStatus | undefined {
  const names = pod.spec?.containers.map(({ name }) => name) ?? [];
  const name = names.includes(WORKER_CONTAINER) ? WORKER_CONTAINER : names[0];
  return pod.status?.containerStatuses?.find((container) => container.name === name);
}

/** Why a pod ended: whoever ended it first, then what its container says. */
function endOf(pod: Pod): string {
  const { reason, message, initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {};
  if (reason === 'Evicted' || reason === 'Preempting') return faultText('evicted', message ?? reason);
  const worker = workerOf(pod);
  const all = [...(worker === undefined ? [] : [worker]), ...containerStatuses, ...initContainerStatuses];
  const failed = all.find(({ state }) => (state?.terminated?.exitCode ?? 0) !== 0) ?? worker;
  const end = failed?.state?.terminated;
  if (end?.reason === 'OOMKilled') return faultText('oom-killed', `${failed?.name} exit ${end.exitCode}`);
  const disruption = disruptionOf(pod);
  if (disruption !== undefined) return faultText('evicted', disruption.message ?? disruption.reason);
  if (end === undefined) return faultText('crashed', message ?? reason);
  if (end.exitCode === 0) return faultText('completed', `${failed?.name} exit 0`);
  const signal = end.signal === undefined ? '' : ` signal ${end.signal}`;
  const said = end.message === undefined ? '' : `: ${end.message}`;
  return faultText('crashed', `${failed?.name} exit ${end.exitCode}${signal}${said}`);
}
