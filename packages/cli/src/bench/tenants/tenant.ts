// One tenant: reserves a worker, fills its table, asks its queries straight to the worker, releases.
import { MissError, type MusterClient, type Reservation } from '@muster/client';
import type { Clock, Random } from '@muster/ports';
import { CliError } from '../../exit.ts';
import type { Granted, ReservationHistory } from '../history/reservation-history.ts';
import { pause } from '../measure/pause.ts';
import { openLoop } from './open-loop.ts';
import { QueryLink } from './query-link.ts';
import type { QueryMeter } from './query-meter.ts';
import { FOREIGN_TABLES, type Query, Workload } from './workload.ts';

export interface TenantOptions {
  readonly org: string;
  /** From 1. */
  readonly number: number;
  readonly client: MusterClient;
  readonly pool: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly history: ReservationHistory;
  readonly meter: QueryMeter;
  readonly qps: number;
  readonly inFlightMax: number;
  /** Ask with `waitMs: 0` and again after this long; undefined: wait in the queue. */
  readonly retryMs: number | undefined;
  /** When nothing was given by then, it is an error. */
  readonly reserveTimeoutMs: number;
}

/** One call's wait: the control plane caps it to the pool's, and a miss at its end is asked again with the same id. */
const WAIT_MS = 120_000;
/** Misses that waiting does not change. */
const FINAL = new Set(['org-cap', 'pool-unknown', 'activation-failed']);

export class Tenant {
  readonly org: string;
  readonly #options: TenantOptions;
  #reservation: Reservation | undefined;
  #granted: Granted | undefined;
  #link: QueryLink | undefined;
  #firstMissMs: number | undefined;
  #servedMs: number | undefined;
  #missAnswers = 0;

  constructor(options: TenantOptions) {
    this.org = options.org;
    this.#options = options;
  }

  /** While it is held. */
  get reservation(): Reservation | undefined {
    return this.#reservation;
  }
  /** When the request was sent that found nothing warm; undefined where it was served at once. */
  get firstMissMs(): number | undefined {
    return this.#firstMissMs;
  }
  /** When it had its worker. */
  get servedMs(): number | undefined {
    return this.#servedMs;
  }
  /** Answers that said no. */
  get missAnswers(): number {
    return this.#missAnswers;
  }

  /** @throws CliError, MissError, MusterError where there is no worker for it; the signal's reason */
  async reserve(signal: AbortSignal): Promise<void> {
    const { client, pool, org, clock, random, retryMs, reserveTimeoutMs } = this.#options;
    const requestId = random.id(20);
    const untilMs = clock.monotonicMs() + reserveTimeoutMs;
    for (;;) {
      const askedMs = clock.monotonicMs();
      const leftMs = Math.max(1, Math.floor(untilMs - askedMs));
      const waitMs = retryMs === undefined ? Math.min(WAIT_MS, leftMs) : 0;
      try {
        this.#take(await client.reserve(pool, { org: this.#options.org, waitMs, requestId, signal }), askedMs);
        return;
      } catch (error) {
        if (!(error instanceof MissError) || FINAL.has(error.miss.reason)) throw error;
        this.#missAnswers += 1;
        this.#firstMissMs ??= askedMs;
        const delayMs = retryMs ?? Math.min(1_000, error.miss.retryAfterMs);
        if (clock.monotonicMs() + delayMs >= untilMs) {
          throw new CliError('timeout', `${org} got no worker of ${pool} in ${reserveTimeoutMs} ms: ${error.miss.reason}`, {
            cause: error,
          });
        }
        await pause(clock, delayMs, signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Fills its table once, and asks its queries until the signal. Never rejects: what fails is counted. */
  async work(until: AbortSignal): Promise<void> {
    const { clock, qps, inFlightMax, meter, number, random } = this.#options;
    const link = this.#link;
    if (link === undefined) return;
    const workload = new Workload(number, random);
    try {
      await this.#setup(link, workload);
    } catch (error) {
      return meter.failed(`${this.org} could not fill its table: ${said(error)}`);
    }
    await openLoop({
      clock,
      perSecond: qps,
      inFlightMax,
      signal: until,
      run: (dueMs) => this.#ask(link, workload.next(), dueMs),
      due: (dueMs, isSkipped) => meter.due(dueMs, isSkipped),
    });
  }

  /** Gives the worker back. @throws MusterError `timeout` where nobody took it */
  async release(): Promise<void> {
    const { history, clock } = this.#options;
    this.#link?.close();
    const reservation = this.#reservation;
    if (reservation === undefined || this.#granted === undefined) return;
    if (reservation.lostReason === undefined) history.releasing(this.#granted, clock.monotonicMs());
    this.#reservation = undefined;
    await reservation.release();
  }

  /** Somebody else's word that this reservation was not its own any more. */
  lost(reason: string): void {
    if (this.#granted !== undefined) this.#options.history.lost(this.#granted, reason, this.#options.clock.monotonicMs());
  }

  #take(reservation: Reservation, askedMs: number): void {
    const { clock, history, inFlightMax, org } = this.#options;
    this.#servedMs = clock.monotonicMs();
    if (reservation.source === 'waited') this.#firstMissMs ??= askedMs;
    this.#reservation = reservation;
    this.#granted = { slot: reservation.slot, epoch: reservation.epoch, holder: org, atMs: this.#servedMs };
    history.granted(this.#granted);
    reservation.onLost((reason) => this.lost(reason));
    this.#link = new QueryLink(reservation, inFlightMax);
  }

  async #setup(link: QueryLink, workload: Workload): Promise<void> {
    const [tables] = await link.query(FOREIGN_TABLES);
    if (Number(tables?.[0]) !== 0) this.#options.history.sawForeignData(this.org, `${String(tables?.[0])} tables in a new database`);
    for (const sql of workload.setup()) await link.query(sql);
  }

  async #ask(link: QueryLink, query: Query, dueMs: number): Promise<void> {
    const { clock, meter, history } = this.#options;
    try {
      const wrong = query.verify(await link.query(query.sql, query.params));
      if (wrong?.isForeign === true) history.sawForeignData(this.org, wrong.message);
      if (wrong === undefined) meter.done(dueMs, clock.monotonicMs());
      else meter.failed(`${this.org} ${query.kind}: ${wrong.message}`);
    } catch (error) {
      meter.failed(`${this.org} ${query.kind}: ${said(error)}`);
    }
  }
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
