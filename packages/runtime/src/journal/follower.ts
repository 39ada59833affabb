// Follows the journals of all shards with one consumer, and keeps a shadow of each.
//
//   L1. A record that does not follow on what was seen means that something was lost: everything is read again from the
//       start, and said at the highest level. If the very same record does not fit then either, its shard is stopped.
//   L2. A shard whose record cannot be read is stopped at its sequence, loudly; the others go on.
//   L3. Listeners hear of a record after it is folded, and of nothing before the first reading has caught up.
import type { Clock, Journal, JournalMessage, Logger, Subscription, Timer } from '@muster/ports';
import type { ShardDefinition } from '../contract.ts';
import type { RuntimeMetrics } from '../metrics.ts';
import { type JournalRecord, parseRecord, UnknownRecordVersion } from './record.ts';
import { ShadowShard } from './shadow.ts';
import type { SharedRecords } from './shared-records.ts';
import { isInline, loadInline, loadParts } from './snapshot-reader.ts';
import { type Parsers, Store } from './store.ts';

export interface FollowerOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: RuntimeMetrics;
  readonly shared?: SharedRecords | undefined;
  readonly onRecord: (shadow: ShadowShard, record: JournalRecord) => void;
  /** All shadows are at the end of what was stored when reading began. */
  readonly onCaughtUp: () => void;
  /** A journal cannot be read any further. */
  readonly onStopped: (shadow: ShadowShard) => void;
  /** All shadows are empty and will be read again. */
  readonly onReset: () => void;
}

const FOLLOW_RETRY_MS = 500;
const PART_RETRY_MS = 250;
const PART_READS_MAX = 20;

export class Follower {
  readonly #options: FollowerOptions;
  readonly #shadows = new Map<string, ShadowShard>();
  readonly #parsers = new Map<string, Parsers>();
  readonly #queues = new Map<string, JournalMessage[]>();
  /** Where a chain did not fit, by shard: a second time there is no coming back. */
  readonly #misfits = new Map<string, number>();
  #subscription: Subscription | undefined;
  #generation = 0;
  #resets = 0;
  #isCaughtUp = false;
  #isClosed = false;
  #retry: Timer | undefined;
  #streamOffsetMs = Number.NEGATIVE_INFINITY;
  #seq = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  get isCaughtUp(): boolean {
    return this.#isCaughtUp;
  }
  /** The highest position seen. */
  get seq(): number {
    return this.#seq;
  }
  /** Now, as the stream's time stamps have it; undefined before the first record. At most a delivery behind. */
  get streamNowMs(): number | undefined {
    return this.#streamOffsetMs === Number.NEGATIVE_INFINITY ? undefined : this.#streamOffsetMs + this.#options.clock.monotonicMs();
  }

  shadow(shard: string): ShadowShard | undefined {
    return this.#shadows.get(shard);
  }

  shadows(): Iterable<ShadowShard> {
    return this.#shadows.values();
  }

  /** Values of this shard's kinds are parsed from now on. */
  define(definition: ShardDefinition): void {
    const parsers: Parsers = new Map(definition.kinds.map((kind) => [kind.kind, (value: unknown) => kind.parse(value)]));
    this.#parsers.set(definition.shard, parsers);
    const shadow = this.#shadows.get(definition.shard);
    if (shadow === undefined || shadow.isLoading) return;
    this.#orStop(shadow, shadow.seq, () => shadow.store.setParsers(parsers));
  }

  /** Begins, or begins again from the start. */
  async start(): Promise<void> {
    if (this.#isClosed) return;
    const generation = ++this.#generation;
    this.#subscription?.unsubscribe();
    this.#retry?.cancel();
    const isCurrent = (): boolean => generation === this.#generation && !this.#isClosed;
    try {
      const subscription = await this.#options.journal.follow({
        message: (message) => {
          if (isCurrent()) this.#message(message);
        },
        reset: (reason) => {
          if (isCurrent()) this.#reset(reason);
        },
        caughtUp: () => {
          if (isCurrent()) this.#caughtUp();
        },
      });
      if (isCurrent()) this.#subscription = subscription;
      else subscription.unsubscribe();
    } catch (error) {
      if (!isCurrent()) return;
      this.#options.logger.warn({ error }, 'the journals cannot be followed; trying again');
      this.#retry = this.#options.clock.setTimer(FOLLOW_RETRY_MS, () => void this.start());
    }
  }

  /** Drops everything and reads it again. `reason` says what was lost. */
  reload(reason: string): void {
    this.#reset(reason);
    void this.start();
  }

  close(): void {
    this.#isClosed = true;
    this.#retry?.cancel();
    this.#subscription?.unsubscribe();
  }

  #reset(reason: string): void {
    this.#options.logger.error({ reason }, 'the stream is not what it was: all journals are read again');
    this.#options.metrics.shadowReloads.add();
    this.#resets += 1;
    this.#isCaughtUp = false;
    this.#seq = 0;
    this.#streamOffsetMs = Number.NEGATIVE_INFINITY;
    this.#queues.clear();
    for (const shadow of this.#shadows.values()) shadow.clear();
    this.#options.onReset();
  }

  #caughtUp(): void {
    if (this.#isCaughtUp) return;
    this.#isCaughtUp = true;
    this.#options.onCaughtUp();
  }

  #message(message: JournalMessage): void {
    const { clock } = this.#options;
    this.#seq = Math.max(this.#seq, message.seq);
    this.#streamOffsetMs = Math.max(this.#streamOffsetMs, message.timeMs - clock.monotonicMs());
    const queue = this.#queues.get(message.shard);
    if (queue === undefined) this.#fold(this.#of(message.shard), message);
    else queue.push(message);
  }

  #of(shard: string): ShadowShard {
    let shadow = this.#shadows.get(shard);
    if (shadow === undefined) {
      shadow = new ShadowShard(shard, new Store(this.#options.shared));
      shadow.store.setParsers(this.#parsers.get(shard) ?? new Map());
      this.#shadows.set(shard, shadow);
    }
    return shadow;
  }

  #fold(shadow: ShadowShard, message: JournalMessage): void {
    if (shadow.stopped !== undefined || message.seq <= shadow.seq) return;
    this.#orStop(shadow, message.seq, () => {
      const { record, body } = this.#options.shared?.read(message) ?? parseRecord(message);
      if (!shadow.isNext(record)) {
        const { snapshot } = record;
        if (snapshot === undefined) {
          this.#misfit(shadow, message.seq, record);
          return;
        }
        if (!isInline(snapshot)) {
          void this.#load(shadow, message, record, body, 1);
          return;
        }
        const store = this.#emptyStore(shadow.shard, record);
        loadInline(snapshot, body, store);
        shadow.store = store;
      }
      this.#advance(shadow, message, record);
    });
  }

  #advance(shadow: ShadowShard, message: JournalMessage, record: JournalRecord): void {
    shadow.advance(record, message.seq, message.timeMs, message.data.length);
    this.#options.onRecord(shadow, record);
  }

  /** Reads a snapshot in parts; what comes meanwhile waits. */
  async #load(shadow: ShadowShard, message: JournalMessage, record: JournalRecord, body: Uint8Array, tries: number): Promise<void> {
    const { journal, logger, clock } = this.#options;
    const resets = this.#resets;
    const isCurrent = (): boolean => resets === this.#resets && !this.#isClosed;
    const store = this.#emptyStore(shadow.shard, record);
    shadow.isLoading = true;
    const queue = this.#queues.get(shadow.shard) ?? [];
    this.#queues.set(shadow.shard, queue);
    try {
      if (record.snapshot !== undefined) await loadParts(journal, shadow.shard, record.snapshot, body, store);
    } catch (error) {
      if (!isCurrent()) return;
      // The parts go when a newer snapshot replaced them: that one is on its way, or here already.
      const newer = queue.findLastIndex((waiting) => tryIsSnapshot(waiting));
      if (newer >= 0) {
        this.#queues.set(shadow.shard, []);
        this.#resume(shadow, queue.slice(newer));
        return;
      }
      if (tries >= PART_READS_MAX) {
        this.#stop(shadow, message.seq, error);
        return;
      }
      logger.warn({ shard: shadow.shard, error, tries }, 'a snapshot cannot be read; trying again');
      clock.setTimer(PART_RETRY_MS, () => {
        if (isCurrent()) void this.#load(shadow, message, record, body, tries + 1);
      });
      return;
    }
    if (!isCurrent()) return;
    shadow.store = store;
    this.#orStop(shadow, message.seq, () => this.#advance(shadow, message, record));
    this.#resume(shadow, queue);
  }

  #resume(shadow: ShadowShard, queue: readonly JournalMessage[]): void {
    shadow.isLoading = false;
    this.#queues.delete(shadow.shard);
    for (const [at, waiting] of queue.entries()) {
      this.#fold(shadow, waiting);
      const loading = this.#queues.get(shadow.shard);
      if (loading === undefined) continue;
      loading.push(...queue.slice(at + 1));
      return;
    }
  }

  #emptyStore(shard: string, record: JournalRecord): Store {
    const store = new Store(this.#options.shared);
    store.setParsers(this.#parsers.get(shard) ?? new Map());
    store.setRetain(record.retain ?? {});
    return store;
  }

  #misfit(shadow: ShadowShard, seq: number, record: JournalRecord): void {
    const { shard } = shadow;
    const said = `the record at ${seq} follows ${record.prev}, the last seen is ${shadow.op} at ${shadow.seq}`;
    if (this.#misfits.get(shard) === seq) {
      this.#stop(shadow, seq, new Error(said));
      return;
    }
    this.#misfits.set(shard, seq);
    this.reload(`${shard}: ${said}`);
  }

  #orStop(shadow: ShadowShard, seq: number, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#stop(shadow, seq, error);
    }
  }

  #stop(shadow: ShadowShard, seq: number, error: unknown): void {
    shadow.stopped = error instanceof UnknownRecordVersion ? 'unknown-version' : 'damaged';
    shadow.isLoading = false;
    this.#queues.delete(shadow.shard);
    this.#options.logger.error({ shard: shadow.shard, seq, error, why: shadow.stopped }, 'a journal cannot be followed any further');
    this.#options.onStopped(shadow);
  }
}

function tryIsSnapshot(message: JournalMessage): boolean {
  try {
    return parseRecord(message).record.type === 'snapshot';
  } catch {
    return false;
  }
}
