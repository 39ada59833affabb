/** Why a worker on Kubernetes does not run, in one word; docs/guide/kubernetes.md says what to do about each. */
export const WORKER_FAULTS = [
  /** The cluster has no room now: the pod is held, and is the signal that makes nodes appear. */
  'unschedulable',
  'image-pull',
  'container-config',
  'crash-loop',
  'oom-killed',
  'crashed',
  'completed',
  'evicted',
  'node-lost',
  /** Somebody else deleted the pod. */
  'deleted',
  'quota',
  'forbidden',
  'invalid-template',
  /** A pod of this name is there and is not this slot's. */
  'name-taken',
] as const;
export type WorkerFault = (typeof WORKER_FAULTS)[number];

const TEXT_MAX = 300;

/** A fault with the words of whoever said it, bounded: it goes into the slot's history. */
export function faultText(fault: WorkerFault, said: string | undefined): string {
  return said === undefined || said === '' ? fault : `${fault}: ${said.replace(/\s+/g, ' ').slice(0, TEXT_MAX)}`;
}
