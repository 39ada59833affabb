import type { Clock, Subscription, WorkerHandle, WorkerStatus } from '@muster/ports';
import { tryShardOf } from '@muster/protocol';
import type { Launcher, LaunchOutcome, LaunchSpec } from './launcher.ts';

/** A worker that lives inside this process. */
export interface SimulatedWorker {
  /** Drains within `graceMs` and ends. */
  stop(graceMs: number): Promise<void>;
  /** Resolves with the reason when it has ended, however that came. */
  readonly ended: Promise<string>;
}

/** What the launcher needs; who makes the workers is the caller's to say. */
export interface SimulatedLauncherOptions {
  readonly host: string;
  readonly clock: Clock;
  /** Starts to speak the worker's contract for a slot. */
  startSimulatedWorker(spec: LaunchSpec): SimulatedWorker;
  /** Slots remembered, ended ones included; beyond it the oldest ended ones are forgotten. Default 100,000. */
  readonly slotsMax?: number;
}

interface Entry {
  readonly shard: string;
  readonly startedMs: number;
  readonly worker: SimulatedWorker | undefined;
  exitedMs: number | undefined;
  reason: string;
}

const LIST_MS = 600_000;

/**
 * Many workers in one process, for measuring the control plane without what processes cost. They end with the process, so
 * nothing is kept on disk: what an earlier process had started is not in the list, and is gone.
 */
export class SimulatedLauncher implements Launcher {
  readonly kind = 'simulated';
  readonly #options: SimulatedLauncherOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(status: WorkerStatus) => void>();
  #running = 0;

  constructor(options: SimulatedLauncherOptions) {
    this.#options = options;
  }

  async recover(): Promise<void> {}

  async create(spec: LaunchSpec): Promise<LaunchOutcome> {
    const known = this.#entries.get(spec.slot);
    if (known !== undefined) {
      return known.exitedMs === undefined ? { kind: 'created', handle: this.#handle() } : { kind: 'exited', reason: known.reason };
    }
    const worker = this.#options.startSimulatedWorker(spec);
    const entry = this.#enter(spec.slot, spec.shard, worker);
    this.#running += 1;
    void worker.ended.then((reason) => {
      this.#running -= 1;
      entry.exitedMs = this.#options.clock.monotonicMs();
      entry.reason = reason;
      this.#tell(spec.slot, entry);
    });
    this.#tell(spec.slot, entry);
    return { kind: 'created', handle: this.#handle() };
  }

  async destroy(slot: string, _handle: WorkerHandle, graceMs: number): Promise<void> {
    const entry = this.#entries.get(slot);
    if (entry === undefined) {
      const tombstone = this.#enter(slot, tryShardOf(slot) ?? '', undefined);
      tombstone.exitedMs = tombstone.startedMs;
      tombstone.reason = 'destroyed before it was started';
      return;
    }
    if (entry.exitedMs === undefined) await entry.worker?.stop(graceMs);
  }

  list(): readonly WorkerStatus[] {
    const sinceMs = this.#options.clock.monotonicMs() - LIST_MS;
    return [...this.#entries]
      .filter(([, { exitedMs }]) => exitedMs === undefined || exitedMs > sinceMs)
      .map(([slot, entry]) => this.#statusOf(slot, entry))
      .sort((one, other) => (one.slot < other.slot ? -1 : 1));
  }

  get running(): number {
    return this.#running;
  }

  watch(listener: (status: WorkerStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  async close(): Promise<void> {
    await Promise.all(
      [...this.#entries.values()].map(async ({ exitedMs, worker }) => (exitedMs === undefined ? worker?.stop(0) : undefined)),
    );
  }

  #enter(slot: string, shard: string, worker: SimulatedWorker | undefined): Entry {
    if (this.#entries.size >= (this.#options.slotsMax ?? 100_000)) {
      const oldest = [...this.#entries].find(([, entry]) => entry.exitedMs !== undefined);
      if (oldest !== undefined) this.#entries.delete(oldest[0]);
    }
    const entry: Entry = { shard, worker, startedMs: this.#options.clock.monotonicMs(), exitedMs: undefined, reason: '' };
    this.#entries.set(slot, entry);
    return entry;
  }

  #handle(): WorkerHandle {
    return { host: this.#options.host, pid: process.pid };
  }

  #statusOf(slot: string, entry: Entry): WorkerStatus {
    return {
      slot,
      shard: entry.shard,
      handle: this.#handle(),
      state: entry.exitedMs === undefined ? 'running' : 'exited',
      ...(entry.exitedMs === undefined ? {} : { reason: entry.reason }),
      ageMs: this.#options.clock.monotonicMs() - entry.startedMs,
    };
  }

  #tell(slot: string, entry: Entry): void {
    const status = this.#statusOf(slot, entry);
    for (const listener of this.#listeners) listener(status);
  }
}
