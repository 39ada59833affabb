import type { Clock, Logger, MessageBus, Random } from '@muster/ports';
import type { Held } from './command-judge.ts';

/** Which slot this process fills, as its environment says (DESIGN 8). */
export interface WorkerIdentity {
  readonly cluster: string;
  readonly slot: string;
  readonly shard: string;
  /** Proof of the slot: HMAC with the cluster's key. Secret. */
  readonly token: string;
}

/** What a worker is told when it becomes an org's. */
export interface ActivationContext {
  readonly org: string;
  readonly pool: string;
  readonly reservation: string;
  /** Grows with every reservation of this slot. */
  readonly epoch: number;
  /** What the client passed along; may hold secrets: never log it. */
  readonly activation: Readonly<Record<string, unknown>>;
  /** Aborted when the worker is told to drain meanwhile: nobody waits for this activation then. */
  readonly signal: AbortSignal;
}

/** What a drain is about. */
export interface DrainContext {
  /** How long there is; the worker ends then, finished or not. */
  readonly graceMs: number;
  readonly reason: string;
}

/** What the worker does. Called one after the other, never two at once, except that `onDrain` waits for nothing. */
export interface WorkerHandlers {
  /**
   * Becomes the org's: resolves when a caller with the reservation's token can be served.
   * @throws ActivationRefused to say whose fault it is
   */
  onActivate(context: ActivationContext): Promise<void> | void;
  /** The reservation is over and the org's data may stay: the same org may come back. */
  onRelease?(held: Held): Promise<void> | void;
  /** Forgets the org and everything of it. Absent: a reset is refused, and the worker never serves a second org. */
  onReset?(): Promise<void> | void;
  /** Finishes what is running. */
  onDrain?(context: DrainContext): Promise<void> | void;
}

/** How often and how long, ms. */
export interface WorkerTimings {
  readonly helloTimeoutMs: number;
  readonly helloBackoffMinMs: number;
  readonly helloBackoffMaxMs: number;
  /** How often an idle worker asks again, to learn whether anybody still knows it. */
  readonly helloEveryMs: number;
  /** An idle worker that no replica has answered for so long stops itself. */
  readonly orphanAfterMs: number;
  /** For a drain that names no grace: SIGTERM, or an owner that says stop. Below the driver's 10 s, so as to end first. */
  readonly drainGraceMs: number;
}

/** The defaults (DESIGN 8 and 10). */
export const WORKER_TIMINGS: WorkerTimings = {
  helloTimeoutMs: 2_000,
  helloBackoffMinMs: 100,
  helloBackoffMaxMs: 5_000,
  helloEveryMs: 120_000,
  orphanAfterMs: 600_000,
  drainGraceMs: 8_000,
};

/** What `startWorker` needs. */
export interface WorkerOptions extends WorkerHandlers {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly identity: WorkerIdentity;
  /** Where a holder reaches this worker, as it is told to clients: `http://127.0.0.1:41234`. At most 256 characters. */
  readonly endpoint: string;
  readonly version: string;
  /** Absent: this process. */
  readonly pid?: number;
  readonly timings?: Partial<WorkerTimings>;
}
