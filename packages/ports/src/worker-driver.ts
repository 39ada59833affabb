import type { WorkerTemplate } from '@muster/domain';
import type { Subscription } from './message-bus.ts';

/** Where a worker is to run, decided before its slot is journaled and never changed. */
export interface Placement {
  /** `process`: the host's id. `kubernetes`: absent, the cluster places it. */
  readonly host?: string;
}

/** One worker to start. The slot is its name: creating it twice is creating it once. */
export interface WorkerSpec {
  readonly slot: string;
  readonly shard: string;
  readonly pool: string;
  readonly template: WorkerTemplate;
  readonly placement: Placement;
  /** HMAC of the slot with the cluster's key (DESIGN 8); secret. */
  readonly token: string;
  /** What the worker proves to NATS who it is with (`MUSTER_NATS_CREDS`); secret. Absent: NATS asks for nothing. */
  readonly natsCredentials?: string;
}

/** What identifies the very worker that was started, and no later one of the same name. */
export interface WorkerHandle {
  readonly host?: string;
  readonly pid?: number;
  /** Start time as the host's kernel tells it. */
  readonly startTime?: string;
  readonly podUid?: string;
}

/** What a driver knows of one worker. */
export interface WorkerStatus {
  readonly slot: string;
  readonly shard: string;
  readonly handle: WorkerHandle;
  /** `unreachable`: the driver has lost sight of it, which is not the same as gone. */
  readonly state: 'starting' | 'running' | 'exited' | 'unschedulable' | 'unreachable';
  /** Why it exited or cannot start, in a few words: `exit 1`, `SIGKILL`, `image-pull: …`. */
  readonly reason?: string;
  /** Since it was started, as the driver counts. */
  readonly ageMs: number;
  /** Ready by what runs it, for workers that say no hello; and the host that it is reached at. */
  readonly isReady?: boolean;
  readonly address?: string;
  /** Somebody else has asked for its end. */
  readonly isLeaving?: boolean;
  /** Nothing of it is left: there is nothing to destroy any more. */
  readonly isGone?: boolean;
  /** It has ended, and something of it is left that only `destroy` removes. */
  readonly hasRemains?: boolean;
}

/** How many workers of a template fit; unknown, unbounded and 0 are three values. */
export type Capacity =
  | { readonly kind: 'unbounded' }
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'bounded'; readonly max: number; readonly why: string };

export type CreateOutcome =
  /** It runs, or is being started; also when an earlier call started it. */
  | { readonly kind: 'created'; readonly handle: WorkerHandle }
  /** It was started before and has ended; it is never started again. */
  | { readonly kind: 'exited'; readonly reason: string }
  /** It cannot be started, now or (retryable false) ever. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryable: boolean };

/** Starts and stops workers. Idempotent, named by slot. Calls are independent and may run in parallel. */
export interface WorkerDriver {
  readonly name: string;
  /** There is nowhere else to start a worker: whoever waits for this driver to come back loses nothing by it. */
  readonly isOnePlace?: boolean;
  /** How many workers of this template fit in all, running ones included. */
  capacity(template: WorkerTemplate): Capacity;
  /**
   * Chooses where the next worker goes; `assigned` is how many live slots each host has by the journal of the asker.
   * Undefined: nowhere now.
   */
  place(template: WorkerTemplate, assigned: ReadonlyMap<string, number>): Placement | undefined;
  /** @throws MusterError `driver-unavailable` (outcome unknown; call again) */
  create(spec: WorkerSpec): Promise<CreateOutcome>;
  /**
   * Stops it: SIGTERM, `graceMs`, SIGKILL (or their like), and resolves when it is gone. Gone already is success. A driver that
   * tells by `isGone` may give up waiting before, as `driver-unavailable`: whoever waits holds a place that others want.
   * @throws MusterError `driver-unavailable` (outcome unknown; call again)
   */
  destroy(slot: string, handle: WorkerHandle, graceMs: number): Promise<void>;
  /**
   * Everything of this cluster that the driver knows to exist, read anew. `silentHosts` could not be asked: nothing is
   * known of what is theirs. Where a driver has hosts, `hosts` are those whose workers are all in the list, or were
   * forgotten: only of these, what is missing is gone; a host that is in neither was never heard of.
   * @throws MusterError `driver-unavailable`
   */
  list(): Promise<{
    readonly workers: readonly WorkerStatus[];
    readonly silentHosts: readonly string[];
    readonly hosts?: readonly string[];
  }>;
  /** Calls back with each change it hears of; may miss some, `list` is the truth. */
  watch(listener: (status: WorkerStatus) => void): Subscription;
  /**
   * Notes at what runs whose it is (a label, for network policies); absent where the driver has no such thing. Returns at
   * once and costs nothing where it is noted already: whoever cares says it again now and then.
   */
  noteOrg?(slot: string, handle: WorkerHandle, org: string): void;
  /** Hosts or the like, for people to look at. */
  describe(): readonly HostStatus[];
  /**
   * A host that will never come back: its workers count as gone, also where this driver never heard of it (all replicas may
   * have been restarted since). False where it is alive. One that beats again is known again.
   */
  forget(host: string): boolean;
  close(): Promise<void>;
}

export interface HostStatus {
  readonly host: string;
  readonly isSilent: boolean;
  readonly silentMs: number;
  readonly memoryBudgetBytes: number;
  readonly workers: number;
  readonly pid: number;
}
