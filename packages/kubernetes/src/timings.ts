import { BUDGETS } from '@muster/domain';

/** Limits and clocks of the driver, ms; docs/guide/kubernetes.md explains those that matter to an operator. */
export interface KubernetesTimings {
  /** Calls to the API server of one replica. */
  readonly callsPerSecond: number;
  readonly callsBurst: number;
  readonly callTimeoutMs: number;
  /** A watch that says nothing for so long is opened again: a live one sends a bookmark about every minute. */
  readonly watchStalledMs: number;
  /** How long the server is asked to keep a watch open. */
  readonly watchForMs: number;
  /** Everything is read anew this often, whatever the watch says. */
  readonly resyncMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** How long an image may fail to be pulled, or a container to be made, before its pod is given up. */
  readonly patienceMs: number;
  /** While somebody waits for a pod to go, it is looked at this often beside the watch. */
  readonly goneCheckMs: number;
  /** A stop waits so long for its pod to be gone; later it is told by the watch, or asked for again. */
  readonly goneWaitMs: number;
  /** Secrets are looked through this often for those without a pod. */
  readonly secretsEveryMs: number;
  readonly pageSize: number;
}

/** The defaults. */
export const KUBERNETES_TIMINGS: KubernetesTimings = {
  callsPerSecond: 50,
  callsBurst: 100,
  callTimeoutMs: BUDGETS.createTimeoutMs,
  watchStalledMs: 90_000,
  watchForMs: 240_000,
  resyncMs: 600_000,
  backoffMinMs: 200,
  backoffMaxMs: 10_000,
  patienceMs: 30_000,
  goneCheckMs: 1_000,
  goneWaitMs: 3_000,
  secretsEveryMs: 300_000,
  pageSize: 500,
};
