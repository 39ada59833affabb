import type { Subscription, WorkerHandle, WorkerStatus } from '@muster/ports';

/** One worker that a host agent is to start. */
export interface LaunchSpec {
  readonly slot: string;
  readonly shard: string;
  readonly pool: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Secret. */
  readonly token: string;
  /** Secret; what it proves to NATS who it is with. */
  readonly natsCredentials?: string | undefined;
}

/** What became of a start; `retryable` false: it will not be better the next time. */
export type LaunchOutcome =
  | { readonly kind: 'created'; readonly handle: WorkerHandle }
  | { readonly kind: 'exited'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string; readonly retryable: boolean };

/** How a host agent starts workers: as processes, or as simulated ones inside one process. */
export interface Launcher {
  readonly kind: 'process' | 'simulated';
  /** Finds what an earlier agent started; before it is through, nothing else may be called. */
  recover(): Promise<void>;
  /** Starts the worker of a slot, once ever: a repeat says what became of it. @throws MusterError `overloaded` */
  create(spec: LaunchSpec): Promise<LaunchOutcome>;
  /**
   * Stops it and resolves when it is gone. A slot that was never started never will be.
   * @throws MusterError `driver-unavailable` when it cannot be stopped, `overloaded`
   */
  destroy(slot: string, handle: WorkerHandle, graceMs: number): Promise<void>;
  /** Everything that runs, and what exited lately, by slot. */
  list(): readonly WorkerStatus[];
  /** How many run or are being started. */
  readonly running: number;
  watch(listener: (status: WorkerStatus) => void): Subscription;
  /** Stops looking after the workers. Processes outlive it, simulated workers do not. */
  close(): Promise<void>;
}

/** What every launcher promises of one slot's end: in a few words, as `WorkerStatus.reason` has it. */
export const REASON_CHARS_MAX = 200;
