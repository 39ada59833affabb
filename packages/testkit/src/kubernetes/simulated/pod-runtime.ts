import type { KubernetesObject } from '../object.ts';

/** What happens to a pod on its node. */
export type PodChange =
  /** It runs; its containers are not ready yet. */
  | { readonly kind: 'running'; readonly podIp: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'not-ready' }
  /** Its containers cannot be started for now: `ImagePullBackOff`, `CreateContainerConfigError`. */
  | { readonly kind: 'waiting'; readonly reason: string; readonly message: string }
  /** Its containers have ended. `reason`: `Completed`, `Error`, `OOMKilled`. */
  | { readonly kind: 'ended'; readonly exitCode: number; readonly reason: string }
  /** Its node threw it out. */
  | { readonly kind: 'evicted'; readonly message: string };

/** A pod that was started on a node. */
export interface RunningPod {
  /** Ends it: asks, waits at most so long, then by force. Resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
  /** Something befalls it. */
  befall(change: PodChange): void;
}

/** How pods run: played with timers, or as processes. */
export interface PodRuntime {
  /** Starts it and tells what becomes of it, in order. Nothing is told after `stop` was asked for. */
  start(pod: KubernetesObject, tell: (change: PodChange) => void): RunningPod;
  /** Ends whatever runs. */
  close(): Promise<void>;
}
