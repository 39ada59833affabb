import type { Clock, Logger, MessageBus, Random } from '@muster/ports';
import {
  type Reservation as Grant,
  MusterError,
  parse,
  type RenewAnswer,
  type ReservationRef,
  type ReserveAnswer,
  reserveRequestSchema,
  tryShardOf,
} from '@muster/protocol';
import { errorOf, MissError } from './errors.ts';
import { PendingReserve } from './pending-reserve.ts';
import { PoolDirectory } from './pool-directory.ts';
import { Renewals } from './renewals.ts';
import { Reservation } from './reservation.ts';
import { ShardLink } from './shard-link.ts';

/** Over `waitMs`: an activation may take 10 s, a take-over some, and NATS electing a leader up to 9 s (DESIGN 10). */
const ANSWER_MS = 20_000;
const RELEASE_MS = 10_000;

/** What one reserve asks for. */
export interface ReserveOptions {
  readonly org: string;
  /** How long to wait for a worker where none is warm, ms; default 0: a miss at once. */
  readonly waitMs?: number;
  /** The lease, ms; default the pool's. It is renewed at a third of it. */
  readonly ttlMs?: number;
  /**
   * Asking again with the same id gives the same reservation; default a new one for each call. Whoever gives one and is
   * refused asks again with it: a message of it that was late may have been granted.
   */
  readonly requestId?: string;
  /** Passed to the worker, never stored; at most 32 KiB as JSON. */
  readonly activation?: Readonly<Record<string, unknown>>;
  /** Gives the request up, whatever it has become. */
  readonly signal?: AbortSignal;
  /** How long after `waitMs` an answer is still expected, ms; default 20,000. */
  readonly answerMs?: number;
}

export interface MusterClientOptions {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Called by `close` when nothing is under way any more; absent: the bus stays open. */
  readonly closeLink?: () => Promise<void>;
}

/** Reserves, renews and releases workers of a Muster cluster. One for each process is enough. */
export class MusterClient implements AsyncDisposable {
  readonly bus: MessageBus;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #link: ShardLink;
  readonly #pools: PoolDirectory;
  readonly #renewals: Renewals;
  /** Cancels and releases of requests that are over. */
  readonly #inBackground = new Set<Promise<void>>();
  readonly #closeLink: (() => Promise<void>) | undefined;
  #isClosed = false;

  /** For a bus that is there already; `connect` makes one. */
  constructor(options: MusterClientOptions) {
    this.bus = options.bus;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
    this.#closeLink = options.closeLink;
    this.#link = new ShardLink(options);
    this.#pools = new PoolDirectory(options);
    this.#renewals = new Renewals(this.#link, options.clock, options.logger);
  }

  /**
   * Reserves one worker of the pool and keeps it until it is released.
   * @throws MissError where there is none (`miss.reason`, `miss.retryAfterMs`); MusterError `bad-request` (`field`),
   * `ended`, `overloaded`, `timeout` (the request was cancelled), `disconnected`, `no-responders`; the signal's reason
   */
  async reserve(pool: string, options: ReserveOptions): Promise<Reservation> {
    const askedMs = this.#clock.monotonicMs();
    const answer = await this.tryReserve(pool, options);
    if (answer.ok) return this.#hold(answer.reservation, answer, askedMs + (answer.source === 'waited' ? answer.waitedMs : 0));
    if ('miss' in answer) throw new MissError(pool, answer.miss);
    throw errorOf(answer.error);
  }

  /**
   * As `reserve`, with the answer as it came: nobody renews it.
   * @throws MusterError `bad-request` (`field`), `timeout`, `disconnected`, `no-responders`; the signal's reason
   */
  async tryReserve(pool: string, options: ReserveOptions): Promise<ReserveAnswer> {
    this.#assertOpen();
    const { signal, answerMs = ANSWER_MS, requestId = this.#random.id(20), ...asked } = options;
    const request = parse(reserveRequestSchema, { ...asked, requestId });
    signal?.throwIfAborted();
    const startedMs = this.#clock.monotonicMs();
    const waitMs = request.waitMs ?? 0;
    const untilMs = startedMs + waitMs + answerMs;
    const shard = await this.#pools.shardOf(pool, request.org, untilMs);
    if (shard === undefined) return { ok: false, miss: { reason: 'pool-unknown', retryAfterMs: 1_000 } };
    signal?.throwIfAborted();
    const pending = new PendingReserve(this.#link, this.#clock, this.#logger, {
      shard,
      org: request.org,
      requestId,
      isIdGiven: options.requestId !== undefined,
      waitMs,
      ttlMs: request.ttlMs,
      activation: request.activation,
      startedMs,
      untilMs,
      signal,
      inBackground: (work) => this.#remember(work),
    });
    return pending.answer;
  }

  /**
   * Releases a reservation by what identifies it; one that has ended already is success.
   * @throws MusterError `not-found` (the id names no shard), `timeout`, or the refusal's code
   */
  async release(ref: ReservationRef): Promise<void> {
    const shard = tryShardOf(ref.id);
    if (shard === undefined) throw new MusterError('not-found', `${ref.id} is not the id of a reservation`, { field: 'id' });
    const reservations = [{ id: ref.id, epoch: ref.epoch }];
    const untilMs = this.#clock.monotonicMs() + RELEASE_MS;
    const answer = (await this.#link.ask(shard, { type: 'release', reservations }, { untilMs })) as RenewAnswer;
    if (!answer.ok) throw errorOf(answer.error);
    const result = answer.results[0];
    if (result !== undefined && !result.ok && result.error.code !== 'ended' && result.error.code !== 'stale-epoch')
      throw errorOf(result.error);
  }

  /** Stops renewing, and closes the link that `connect` made. What is still reserved ends by its lease. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#renewals.close();
    await Promise.all(this.#inBackground);
    await this.#closeLink?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #hold(grant: Grant, how: { readonly source: 'warm' | 'parked' | 'waited'; readonly waitedMs: number }, askedMs: number): Reservation {
    const shard = tryShardOf(grant.id);
    if (shard === undefined) throw new MusterError('internal', `the reservation ${grant.id} names no shard`);
    const lease = { id: grant.id, epoch: grant.epoch, shard, ttlMs: grant.ttlMs, askedMs };
    const reservation = new Reservation(
      {
        bus: this.bus,
        forget: () => this.#renewals.remove(lease),
        release: () => {
          this.#renewals.remove(lease);
          return this.release(grant);
        },
      },
      grant,
      how,
    );
    if (!this.#isClosed) this.#renewals.add({ ...lease, ended: (reason) => reservation.lose(reason) });
    return reservation;
  }

  #remember(work: Promise<void>): void {
    this.#inBackground.add(work);
    void work.then(() => this.#inBackground.delete(work));
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new MusterError('closed', 'this client was closed');
  }
}
