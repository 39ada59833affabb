import type { WorkerTemplate } from '@muster/domain';
import { MusterError } from '@muster/protocol';
import type { Clock, Timer } from '../clock.ts';
import type { Subscription } from '../message-bus.ts';
import type {
  Capacity,
  CreateOutcome,
  HostStatus,
  Placement,
  WorkerDriver,
  WorkerHandle,
  WorkerSpec,
  WorkerStatus,
} from '../worker-driver.ts';

/** A worker that a test or a simulation plays. */
export interface PlayedWorker {
  /** Ends it; it says nothing afterwards. */
  stop(): void;
}

export interface MemoryWorkerDriverOptions {
  readonly clock: Clock;
  /** Plays one worker, from its start. @throws Error: it does not start; the message is the reason */
  play(spec: WorkerSpec): PlayedWorker;
  /** From the call to the start, ms. Default 0. */
  readonly startMs?: number;
  /** Default unbounded. */
  readonly capacity?: Capacity;
}

/** What may be said of a worker beside how it runs, as a cluster would. */
export type WorkerNews = Partial<Pick<WorkerStatus, 'state' | 'reason' | 'isReady' | 'address' | 'isLeaving'>>;

interface Entry {
  readonly spec: WorkerSpec;
  readonly handle: WorkerHandle;
  readonly sinceMs: number;
  worker: PlayedWorker | undefined;
  reason: string | undefined;
  isPlaced: boolean;
  news: WorkerNews;
}

/**
 * The twin of a driver: one world of workers for all replicas of a test. Starts a slot at most once, ever, also one that
 * was destroyed before it was created, as the real ones do.
 */
export class MemoryWorkerDriver implements WorkerDriver {
  readonly name = 'memory';
  readonly #options: MemoryWorkerDriverOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #tombs = new Set<string>();
  readonly #listeners = new Set<(status: WorkerStatus) => void>();
  readonly #timers = new Set<Timer>();
  #pid = 0;
  /** Calls answer `driver-unavailable` while true. */
  isAway = false;
  /** May be replaced at any time. */
  limit: Capacity;
  isOnePlace = false;
  /** A stop is asked for, and comes when `endStops` is called: until then it is `driver-unavailable`. */
  areStopsSlow = false;
  /** The cluster has no room: what is created is held until `makeRoom`. */
  isFull = false;
  /** What `noteOrg` was told, by slot. */
  readonly orgs = new Map<string, string>();
  /** The slot of every create that came here, also of one that was refused. */
  readonly asked: string[] = [];
  /** Every slot that was ever created, in order. */
  readonly created: string[] = [];
  /** Every slot that was ever started, in order. */
  readonly started: string[] = [];

  constructor(options: MemoryWorkerDriverOptions) {
    this.#options = options;
    this.limit = options.capacity ?? { kind: 'unbounded' };
  }

  /** Workers that run now. */
  get running(): readonly string[] {
    return [...this.#entries.values()].filter((entry) => entry.worker !== undefined).map((entry) => entry.spec.slot);
  }

  /** Ends a worker as a crash would; the driver tells those who watch. */
  crash(slot: string, reason = 'SIGKILL'): void {
    const entry = this.#entries.get(slot);
    if (entry?.worker === undefined) throw new Error(`no worker runs for ${slot}`);
    this.#end(entry, reason);
  }

  /** A worker is gone, and nobody is told: a watch may miss it. */
  lose(slot: string): void {
    const entry = this.#entries.get(slot);
    this.#entries.delete(slot);
    entry?.worker?.stop();
  }

  /** Says something of a worker, as the watch and the lists of a cluster do from now on. */
  say(slot: string, news: WorkerNews): void {
    const entry = this.#entries.get(slot);
    if (entry === undefined) throw new Error(`there is no worker for ${slot}`);
    entry.news = { ...entry.news, ...news };
    this.#tell(entry);
  }

  /** Whatever is held is placed and starts, `count` of them at the most; what comes later is held as `isFull` says. */
  makeRoom(count = Number.POSITIVE_INFINITY): void {
    for (const entry of [...this.#entries.values()].filter(({ isPlaced }) => !isPlaced).slice(0, count)) this.#place(entry);
  }

  noteOrg(slot: string, _handle: WorkerHandle, org: string): void {
    this.orgs.set(slot, org);
  }

  capacity(_template: WorkerTemplate): Capacity {
    return this.limit;
  }

  place(): Placement | undefined {
    return {};
  }

  async create(spec: WorkerSpec): Promise<CreateOutcome> {
    this.#assertHere();
    this.asked.push(spec.slot);
    const known = this.#entries.get(spec.slot);
    if (this.#tombs.has(spec.slot)) return { kind: 'exited', reason: 'destroyed' };
    if (known !== undefined) {
      return known.reason === undefined ? { kind: 'created', handle: known.handle } : { kind: 'exited', reason: known.reason };
    }
    const entry: Entry = {
      spec,
      handle: { pid: ++this.#pid },
      sinceMs: this.#options.clock.monotonicMs(),
      worker: undefined,
      reason: undefined,
      isPlaced: false,
      news: {},
    };
    this.#entries.set(spec.slot, entry);
    this.created.push(spec.slot);
    if (this.isFull) this.#tell(entry);
    else this.#place(entry);
    return { kind: 'created', handle: entry.handle };
  }

  #place(entry: Entry): void {
    entry.isPlaced = true;
    this.#tell(entry);
    const { spec } = entry;
    const timer = this.#options.clock.setTimer(this.#options.startMs ?? 0, () => {
      this.#timers.delete(timer);
      if (this.#entries.get(spec.slot) !== entry || entry.reason !== undefined) return;
      this.started.push(spec.slot);
      try {
        entry.worker = this.#options.play(spec);
      } catch (error) {
        this.#end(entry, (error as Error).message);
      }
    });
    this.#timers.add(timer);
  }

  async destroy(slot: string): Promise<void> {
    this.#assertHere();
    this.#tombs.add(slot);
    const entry = this.#entries.get(slot);
    if (entry === undefined) return;
    if (this.areStopsSlow) throw new MusterError('driver-unavailable', `${slot} has not ended yet`);
    this.#remove(entry);
  }

  /** Whatever was to stop has ended, and who watches is told that it is gone. */
  endStops(): void {
    this.areStopsSlow = false;
    for (const entry of this.#entries.values()) {
      if (!this.#tombs.has(entry.spec.slot)) continue;
      this.#remove(entry);
      for (const listener of this.#listeners) listener({ ...this.#statusOf(entry), isGone: true });
    }
  }

  #remove(entry: Entry): void {
    this.#end(entry, 'SIGTERM');
    this.#entries.delete(entry.spec.slot);
  }

  async list(): Promise<{ readonly workers: readonly WorkerStatus[]; readonly silentHosts: readonly string[] }> {
    this.#assertHere();
    return { workers: [...this.#entries.values()].map((entry) => this.#statusOf(entry)), silentHosts: [] };
  }

  watch(listener: (status: WorkerStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => this.#listeners.delete(listener) };
  }

  describe(): readonly HostStatus[] {
    return [];
  }

  forget(): boolean {
    return false;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    for (const entry of this.#entries.values()) entry.worker?.stop();
  }

  #assertHere(): void {
    if (this.isAway) throw new MusterError('driver-unavailable', 'the driver is away');
  }

  #end(entry: Entry, reason: string): void {
    if (entry.reason !== undefined) return;
    entry.reason = reason;
    entry.worker?.stop();
    entry.worker = undefined;
    this.#tell(entry);
  }

  #tell(entry: Entry): void {
    for (const listener of this.#listeners) listener(this.#statusOf(entry));
  }

  #statusOf(entry: Entry): WorkerStatus {
    return {
      slot: entry.spec.slot,
      shard: entry.spec.shard,
      handle: entry.handle,
      state: stateOf(entry),
      ...(entry.isPlaced ? {} : { reason: 'unschedulable: no room' }),
      ...entry.news,
      ...(entry.reason === undefined ? {} : { state: 'exited' as const, reason: entry.reason }),
      ageMs: this.#options.clock.monotonicMs() - entry.sinceMs,
    };
  }
}

function stateOf({ worker, isPlaced }: Entry): WorkerStatus['state'] {
  if (!isPlaced) return 'unschedulable';
  return worker === undefined ? 'starting' : 'running';
}
