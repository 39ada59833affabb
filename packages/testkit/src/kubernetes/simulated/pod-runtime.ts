import type { KubernetesObject } from '../object.ts';

/** What happens to a pod on its node. */
export type PodChange =
  /** It runs; its containers are not ready yet. */
  | { readonly kind: 'running'; readonly podIp: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'not-ready' }
  /** Its containers cannot be started for now: `ImagePullBackOff`, `CreateContainerConfigError`. */
  | { readonly kind: 'waiting'; readonly reason: string; readonly message: string }
  /** Its containers have ended. */
  | ({ readonly kind: 'ended' } & PodEnd)
  /** Its node threw it out. */
  | { readonly kind: 'evicted'; readonly message: string };

/** How a pod's containers ended. `reason`: `Completed`, `Error`, `OOMKilled`. */
export interface PodEnd {
  readonly exitCode: number;
  readonly reason: string;
}

/** A pod that was started on a node. */
export interface RunningPod {
  /** Ends it: asks, waits at most so long, then by force. Resolves with how it ended, when it has. */
  stop(graceMs: number): Promise<PodEnd>;
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
