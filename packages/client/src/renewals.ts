// Renews the leases of all reservations that this client holds.
//
// Owns: when each is renewed next. Does not own: what its holder does with the news.
// Invariants:
//   N1. Each lease is renewed at a third of its ttl; those of one shard that are due about the same time share a message.
//   N2. A reservation is reported ended only on an answer that says so. Renewals that go unanswered are sent again, for
//       as long as it is held.
//   N3. At most one renewal message a shard is on its way.
import type { Clock, Logger, Timer } from '@muster/ports';
import { LIMITS, type RenewAnswer } from '@muster/protocol';
import { errorOf } from './errors.ts';
import type { ShardLink } from './shard-link.ts';

/** One lease to keep up. */
export interface Lease {
  readonly id: string;
  readonly epoch: number;
  readonly shard: string;
  readonly ttlMs: number;
  /** When the reservation (or its last renewal) was asked for, on the monotonic clock: a ttl counts from there. */
  readonly askedMs: number;
  /** The shard says that it has ended. */
  ended(reason: string): void;
}

interface Entry {
  readonly lease: Lease;
  ttlMs: number;
  dueMs: number;
}

class ShardRenewals {
  readonly entries = new Map<string, Entry>();
  timer: Timer | undefined;
  /** When the timer fires; it is not moved back when the entry that it was set for goes. */
  armedMs = Number.POSITIVE_INFINITY;
  isRenewing = false;
  isFailing = false;
}

export class Renewals {
  readonly #link: ShardLink;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #shards = new Map<string, ShardRenewals>();
  #isClosed = false;

  constructor(link: ShardLink, clock: Clock, logger: Logger) {
    this.#link = link;
    this.#clock = clock;
    this.#logger = logger;
  }

  add(lease: Lease): void {
    let shard = this.#shards.get(lease.shard);
    if (shard === undefined) {
      shard = new ShardRenewals();
      this.#shards.set(lease.shard, shard);
    }
    const dueMs = lease.askedMs + lease.ttlMs / 3;
    shard.entries.set(lease.id, { lease, ttlMs: lease.ttlMs, dueMs });
    if (dueMs < shard.armedMs) this.#arm(lease.shard, shard, dueMs);
  }

  remove(lease: Pick<Lease, 'id' | 'shard'>): void {
    const shard = this.#shards.get(lease.shard);
    if (shard === undefined) return;
    shard.entries.delete(lease.id);
    if (shard.entries.size > 0) return;
    shard.timer?.cancel();
    this.#shards.delete(lease.shard);
  }

  /** Nothing is renewed any more; the leases run out. */
  close(): void {
    this.#isClosed = true;
    for (const shard of this.#shards.values()) shard.timer?.cancel();
    this.#shards.clear();
  }

  #arm(name: string, shard: ShardRenewals, dueMs: number): void {
    if (shard.isRenewing || this.#isClosed) return;
    shard.timer?.cancel();
    shard.armedMs = dueMs;
    shard.timer = this.#clock.setTimer(Math.max(0, dueMs - this.#clock.monotonicMs()), () => void this.#renewDue(name, shard));
  }

  async #renewDue(name: string, shard: ShardRenewals): Promise<void> {
    shard.isRenewing = true;
    const nowMs = this.#clock.monotonicMs();
    // What comes due within the next twelfth of its ttl goes along.
    const due = [...shard.entries.values()].filter((entry) => entry.dueMs - entry.ttlMs / 12 <= nowMs).slice(0, LIMITS.renewalsMax);
    try {
      if (due.length > 0) await this.#renew(name, due);
      if (shard.isFailing) this.#logger.info({ shard: name }, 'leases are renewed again');
      shard.isFailing = false;
    } catch (error) {
      const againMs = this.#clock.monotonicMs();
      for (const entry of due) entry.dueMs = againMs + Math.min(1_000, entry.ttlMs / 10);
      if (!shard.isFailing) this.#logger.warn({ error, shard: name, reservations: due.length }, 'leases could not be renewed; trying on');
      shard.isFailing = true;
    }
    shard.isRenewing = false;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const entry of shard.entries.values()) nextMs = Math.min(nextMs, entry.dueMs);
    if (nextMs !== Number.POSITIVE_INFINITY) this.#arm(name, shard, nextMs);
    else shard.armedMs = nextMs;
  }

  async #renew(name: string, due: readonly Entry[]): Promise<void> {
    const askedMs = this.#clock.monotonicMs();
    let shortestMs = Number.POSITIVE_INFINITY;
    for (const entry of due) shortestMs = Math.min(shortestMs, entry.ttlMs);
    const budgetMs = Math.min(5_000, Math.max(500, shortestMs / 3));
    const reservations = due.map(({ lease }) => ({ id: lease.id, epoch: lease.epoch }));
    const answer = (await this.#link.ask(
      name,
      { type: 'renew', reservations },
      { untilMs: askedMs + budgetMs, tryMs: budgetMs / 2 },
    )) as RenewAnswer;
    if (!answer.ok) throw errorOf(answer.error);
    for (const entry of due) entry.dueMs = askedMs + entry.ttlMs / 3;
    const byId = new Map(due.map((entry) => [entry.lease.id, entry]));
    for (const result of answer.results) {
      const entry = byId.get(result.id);
      if (entry === undefined) continue;
      if (result.ok) {
        entry.ttlMs = result.ttlMs ?? entry.ttlMs;
        entry.dueMs = askedMs + entry.ttlMs / 3;
      } else if (result.error.code === 'ended' || result.error.code === 'stale-epoch') {
        const isHeld = this.#shards.get(name)?.entries.get(result.id) === entry;
        this.remove(entry.lease);
        if (isHeld) entry.lease.ended(result.error.reason ?? result.error.message);
      }
    }
  }
}
