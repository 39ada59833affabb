import type { MessageBus, Subscription } from '@muster/ports';
import { decode, type Reservation as Grant, subjects } from '@muster/protocol';

/** What a client is asked of the reservations that it gave out. */
export interface ReservationOwner {
  readonly bus: MessageBus;
  /** Stops renewing it, and tells the shard. */
  release(reservation: Reservation): Promise<void>;
  /** Stops renewing it. */
  forget(reservation: Reservation): void;
}

export type LostListener = (reason: string) => void;

/**
 * One worker, promised to one org, renewed by itself until `release` (or the end of an `await using` block).
 *
 * It is `lost` only when the control plane says so: the worker is gone, or the lease ran out while this process was stopped
 * or cut off. Renewals that go unanswered are sent again for as long as it is held.
 */
export class Reservation implements AsyncDisposable {
  readonly id: string;
  readonly slot: string;
  readonly org: string;
  /** Counts the reservations of the slot; commands with an older one are refused. */
  readonly epoch: number;
  /** Where the worker is reached. */
  readonly endpoint: string;
  /** What the worker wants to see from its caller; secret. */
  readonly token: string;
  readonly ttlMs: number;
  /** How it was granted. */
  readonly source: 'warm' | 'parked' | 'waited';
  /** From asking to the grant, as the shard counted. */
  readonly waitedMs: number;
  readonly #owner: ReservationOwner;
  readonly #listeners = new Set<LostListener>();
  #news: Subscription | undefined;
  #lostReason: string | undefined;
  #released: Promise<void> | undefined;
  #lost: Promise<string> | undefined;

  /** @internal made by MusterClient */
  constructor(owner: ReservationOwner, grant: Grant, how: { readonly source: 'warm' | 'parked' | 'waited'; readonly waitedMs: number }) {
    this.id = grant.id;
    this.slot = grant.slot;
    this.org = grant.org;
    this.epoch = grant.epoch;
    this.endpoint = grant.endpoint;
    this.token = grant.token;
    this.ttlMs = grant.ttlMs;
    this.source = how.source;
    this.waitedMs = how.waitedMs;
    this.#owner = owner;
  }

  /** Why it was lost; undefined while it is held, and after a release. */
  get lostReason(): string | undefined {
    return this.#lostReason;
  }

  /** Resolves with the reason when it is lost; never rejects, and stays pending after a release. */
  get lost(): Promise<string> {
    this.#lost ??= new Promise((resolve) => {
      this.onLost(resolve);
    });
    return this.#lost;
  }

  /** Calls back once, when it is lost, or soon if it is lost already. Gives what takes the listener away. */
  onLost(listener: LostListener): () => void {
    if (this.#lostReason !== undefined) {
      const reason = this.#lostReason;
      queueMicrotask(() => listener(reason));
      return () => undefined;
    }
    this.#listeners.add(listener);
    // Subscribed to when somebody asks: most reservations are released before there is any news, and a renewal tells too.
    if (this.#released === undefined) {
      this.#news ??= this.#owner.bus.subscribe(subjects.reservationLost(this.id), (message) => this.lose(readReason(message.data)));
    }
    return () => this.#listeners.delete(listener);
  }

  /**
   * Gives the worker back. A second call gives the first one's promise; one that has ended already is success.
   * @throws MusterError `timeout` where nobody answered for 10 s: the lease then ends it
   */
  release(): Promise<void> {
    this.#stopListening();
    if (this.#lostReason !== undefined) return Promise.resolve();
    this.#released ??= this.#owner.release(this);
    return this.#released;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** @internal the shard or its news said that it has ended */
  lose(reason: string): void {
    if (this.#lostReason !== undefined || this.#released !== undefined) return;
    this.#lostReason = reason;
    this.#owner.forget(this);
    this.#stopListening();
    for (const listener of this.#listeners) listener(reason);
    this.#listeners.clear();
  }

  #stopListening(): void {
    this.#news?.unsubscribe();
    this.#news = undefined;
  }
}

function readReason(data: Uint8Array): string {
  try {
    const news = decode(data);
    if (typeof news === 'object' && news !== null && 'reason' in news && typeof news.reason === 'string') return news.reason;
  } catch {
    // News that cannot be read is still news of a loss: the subject says so.
  }
  return 'lost';
}
