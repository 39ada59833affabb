// A pod, and a Secret without one, as the pool sees them.
import type { WorkerStatus } from '@muster/ports';
import { LABELS } from '../labels.ts';
import type { Pod, Secret } from '../objects.ts';
import { faultText } from '../worker-fault.ts';
import { type PodState, podStateOf } from './pod-state.ts';

/** Which slot an object is of; undefined where it is of none. */
export function slotOf(object: Pod | Secret): { readonly slot: string; readonly shard: string } | undefined {
  const { name, labels } = object.metadata ?? {};
  const slot = labels?.[LABELS.slot];
  const shard = labels?.[LABELS.shard];
  return slot === undefined || shard === undefined || slot !== name ? undefined : { slot, shard };
}

/** What is kept of a pod: a replica may know ten thousand. */
export function slimPod({ metadata = {}, spec, status = {} }: Pod): Pod {
  const { name, uid, resourceVersion, deletionTimestamp, labels } = metadata;
  const { phase, reason, message, conditions, podIP, containerStatuses, initContainerStatuses } = status;
  const containers = spec?.containers.map(({ name: container }) => ({ name: container })) ?? [];
  const kept = {
    metadata: { name, uid, resourceVersion, deletionTimestamp, labels },
    spec: { containers },
    status: { phase, reason, message, conditions, podIP, containerStatuses, initContainerStatuses },
  };
  return kept as Pod;
}

export interface PodView {
  readonly status: WorkerStatus;
  readonly stuck: PodState['stuck'];
}

/** `ageMs` as the driver counts, and whether its patience with a stuck one is over. */
export function viewOfPod(pod: Pod, ageMs: number, isPatienceOver: boolean): PodView | undefined {
  const whose = slotOf(pod);
  if (whose === undefined) return undefined;
  const { state, reason, stuck, isReady, isLeaving } = podStateOf(pod);
  const isGivenUp = stuck === 'never' || (stuck === 'soon' && isPatienceOver);
  return {
    stuck,
    status: {
      ...whose,
      handle: pod.metadata?.uid === undefined ? {} : { podUid: pod.metadata.uid },
      state: isGivenUp ? 'exited' : state,
      ...(reason === undefined ? {} : { reason }),
      ageMs,
      isReady,
      ...(pod.status?.podIP === undefined ? {} : { address: pod.status.podIP }),
      isLeaving,
      hasRemains: true,
    },
  };
}

/** Nothing of a slot is left in the cluster. */
export function viewOfGone(pod: Pod, ageMs: number): WorkerStatus | undefined {
  const whose = slotOf(pod);
  if (whose === undefined) return undefined;
  // How it ended, where it had ended before it was deleted; a lost node's pod is deleted by the cluster.
  const { state, reason } = podStateOf(pod);
  const isSaid = state === 'exited' || state === 'unreachable' || reason?.startsWith('evicted') === true;
  const handle = pod.metadata?.uid === undefined ? {} : { podUid: pod.metadata.uid };
  return {
    ...whose,
    handle,
    state: 'exited',
    reason: (isSaid ? reason : undefined) ?? faultText('deleted', 'the pod was deleted'),
    ageMs,
    isGone: true,
  };
}

/** A Secret whose pod is not there: of a worker that is gone, or whose pod was never made. */
export function viewOfSecret(secret: Secret, ageMs: number): WorkerStatus | undefined {
  const whose = slotOf(secret);
  if (whose === undefined) return undefined;
  return { ...whose, handle: {}, state: 'exited', reason: faultText('deleted', 'only its Secret is left'), ageMs, hasRemains: true };
}
