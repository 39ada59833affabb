// Tenants that go on whatever breaks, and write down what they ask and are told.
//
//   N1. A request whose answer did not come is asked again with its id, or cancelled until the cancel is answered: at the
//       end no outcome is unknown. One that was asked more than once and refused is cancelled too: of its tries the last to
//       arrive may be granted, when its client has gone.
//   N2. Nobody gives up before `PATIENCE_MS`; whoever does was not served, which is a finding.
import { setTimeout as passed } from 'node:timers/promises';
import { DONE } from '@muster/cli';
import { MissError, type MusterClient, type Reservation } from '@muster/client';
import { decode, encode, type ErrorAnswer, isMusterError, type ReserveAnswer, subjects } from '@muster/protocol';
import type { Cluster } from '../support/cluster.ts';
import type { History } from '../support/history.ts';
import { type HeldRef, release, renew } from '../support/load.ts';
import { query } from '../support/queries.ts';

/** Longer than any outage that is to be. */
export const PATIENCE_MS = 60_000;
const PAUSE_MS = 40;
const WAIT_MS = 15_000;
const TRY_MS = 2_500;
/** Nobody asks again before. */
const REPEAT_MS = 1_900;
/** Longer than any fault: a lease that ends meanwhile was ended by somebody. */
const LEASE_MS = 60_000;
/** How a request ends whose worker was killed: as lost, or, under an owner that did not grant it, as one that cannot be told. */
const KILL_ENDS = ['worker-lost', 'activation-failed'] as const;
/** So long after it was killed a worker's end is known everywhere. */
const KILL_MS = 30_000;
/** Of one who goes without a word. */
const SHORT_LEASE_MS = 1_500;

export interface TenantWorld {
  readonly cluster: Cluster;
  readonly history: History;
}

/** What a tenant does in each round. */
export type TenantKind = 'plain' | 'client' | 'hasty' | 'leaver' | 'keeper' | 'sql';

/** One tenant, at it until it is stopped. */
export class Tenant {
  readonly name: string;
  readonly pool: string;
  readonly #world: TenantWorld;
  readonly #kind: TenantKind;
  readonly #org: string;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #client: MusterClient | undefined;
  #kept: HeldRef | undefined;
  #rounds = 0;
  #misses = 0;
  #failure: string | undefined;

  constructor(world: TenantWorld, what: { readonly kind: TenantKind; readonly pool: string; readonly n: number; readonly org?: string }) {
    this.#world = world;
    this.#kind = what.kind;
    this.pool = what.pool;
    this.name = `${what.pool}-${what.kind}-${what.n}`;
    this.#org = what.org ?? this.name;
    this.#running = this.#run();
  }

  /** Rounds that it was served in. */
  get rounds(): number {
    return this.#rounds;
  }
  get misses(): number {
    return this.#misses;
  }
  /** What it was told that nobody should be; it has stopped. */
  get failure(): string | undefined {
    return this.#failure;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#client?.close();
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      try {
        if (await this.#round(`${this.name}-${n}`)) this.#rounds += 1;
        else this.#misses += 1;
      } catch (error) {
        this.#failure = `${this.name} in round ${n}: ${error instanceof Error ? error.message : String(error)}`;
        return;
      }
      await passed(this.#kind === 'leaver' ? 10 * PAUSE_MS : PAUSE_MS);
    }
    if (this.#kept !== undefined) await release(this.#world, this.#kept);
  }

  /** @returns false where it was refused */
  #round(request: string): Promise<boolean> {
    switch (this.#kind) {
      case 'plain':
        return this.#plain(request);
      case 'client':
        return this.#byClient(request);
      case 'hasty':
        return this.#hasty(request);
      case 'leaver':
        return this.#leave(request);
      case 'keeper':
        return this.#keep(request);
      case 'sql':
        return this.#sql(request);
    }
  }

  async #plain(request: string): Promise<boolean> {
    const ref = await this.#ask(request, LEASE_MS);
    if (ref === undefined) return false;
    await renew(this.#world, ref);
    await release(this.#world, ref);
    return true;
  }

  /** Goes without a release: the lease has to end it. */
  async #leave(request: string): Promise<boolean> {
    const ref = await this.#ask(request, SHORT_LEASE_MS);
    if (ref !== undefined) this.#world.history.note({ type: 'abandoned', slot: ref.slot, epoch: ref.epoch });
    return ref !== undefined;
  }

  /** One reservation through everything, and another one where its worker was killed. */
  async #keep(request: string): Promise<boolean> {
    this.#kept ??= await this.#ask(request, LEASE_MS);
    if (this.#kept === undefined) return false;
    if ((await renew(this.#world, this.#kept)) !== DONE) this.#kept = undefined;
    return true;
  }

  /** Gives up soon, and takes back what it asked. */
  async #hasty(request: string): Promise<boolean> {
    const { cluster, history } = this.#world;
    this.#asked(request);
    const timeoutMs = 1 + Math.random() * 60;
    let answer: ReserveAnswer | undefined;
    try {
      answer = await cluster.reserveOnce(this.pool, { org: this.#org, requestId: request, waitMs: WAIT_MS, ttlMs: LEASE_MS }, timeoutMs);
    } catch (error) {
      if (!isMusterError(error) || !error.retryable) throw error;
    }
    const ref = answer === undefined ? undefined : this.#told(request, answer);
    if (ref === 'again' || ref === undefined) {
      history.note({ type: 'unknown', request });
      await this.#cancel(request);
      history.note({ type: 'refused', request, reason: 'cancelled' });
      return true;
    }
    if (ref === 'refused') return false;
    await release(this.#world, ref);
    return true;
  }

  async #byClient(request: string): Promise<boolean> {
    const reservation = await this.#reserve(request);
    if (reservation === undefined) return false;
    const { slot, epoch } = reservation;
    reservation.onLost((reason) => this.#world.history.note({ type: 'lost', slot, epoch, reason }));
    await this.#give(reservation);
    return true;
  }

  /** Uses its worker: nobody else's rows may be there, and its own must be. */
  async #sql(request: string): Promise<boolean> {
    const reservation = await this.#reserve(request);
    if (reservation === undefined) return false;
    const { slot, epoch } = reservation;
    const isLost = new AbortController();
    reservation.onLost((reason) => {
      isLost.abort();
      this.#world.history.note({ type: 'lost', slot, epoch, reason });
    });
    try {
      await query(reservation, 'CREATE TABLE IF NOT EXISTS visits (org VARCHAR, request VARCHAR)');
      await query(reservation, `INSERT INTO visits VALUES ('${this.#org}', '${request}')`);
      const rows = await query(reservation, 'SELECT DISTINCT org FROM visits');
      if (JSON.stringify(rows) !== JSON.stringify([[this.#org]])) {
        this.#world.history.note({ type: 'foreign', request, what: JSON.stringify(rows) });
      }
    } catch (error) {
      // A worker that was killed answers nobody; one that lives must.
      if (!this.#isKilled(slot)) throw error;
    }
    await this.#give(reservation);
    return true;
  }

  async #give(reservation: Reservation): Promise<void> {
    const { id, slot, epoch } = reservation;
    this.#world.history.note({ type: 'releasing', slot, epoch });
    try {
      await reservation.release();
      this.#world.history.note({ type: 'released', slot, epoch, outcome: DONE });
    } catch (error) {
      if (!isMusterError(error) || !error.retryable) throw error;
      await release(this.#world, { id, slot, epoch });
    }
  }

  async #reserve(request: string): Promise<Reservation | undefined> {
    const { cluster, history } = this.#world;
    this.#client ??= await cluster.client();
    this.#asked(request);
    const giveUpAtMs = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        const reservation = await this.#client.reserve(this.pool, {
          org: this.#org,
          requestId: request,
          waitMs: WAIT_MS,
          ttlMs: LEASE_MS,
        });
        history.note({ type: 'granted', request, slot: reservation.slot, epoch: reservation.epoch });
        return reservation;
      } catch (error) {
        const ended = isMusterError(error, 'ended') ? KILL_ENDS.find((reason) => error.message.includes(reason)) : undefined;
        if (error instanceof MissError || this.#isOfAKill(ended)) {
          await this.#takeBack(request, giveUpAtMs - PATIENCE_MS);
          history.note({ type: 'refused', request, reason: error instanceof MissError ? error.miss.reason : (ended ?? '') });
          return undefined;
        }
        if (!isMusterError(error) || !error.retryable || performance.now() > giveUpAtMs) throw error;
      }
    }
  }

  /** Asks until it is answered. */
  async #ask(request: string, ttlMs: number): Promise<HeldRef | undefined> {
    this.#asked(request);
    const giveUpAtMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const answer = await this.#world.cluster.reserve(this.pool, { org: this.#org, requestId: request, waitMs: WAIT_MS, ttlMs }, TRY_MS);
      const told = this.#told(request, answer);
      if (told === 'refused') {
        await this.#takeBack(request, giveUpAtMs - PATIENCE_MS);
        return undefined;
      }
      if (told !== 'again') return told;
      if (performance.now() > giveUpAtMs) throw new Error(`${request}: ${JSON.stringify(answer)} for ${PATIENCE_MS} ms`);
      await passed(PAUSE_MS);
    }
  }

  #asked(request: string): void {
    this.#world.history.note({ type: 'asked', request, pool: this.pool, org: this.#org });
  }

  #told(request: string, answer: ReserveAnswer): HeldRef | 'refused' | 'again' {
    const { history } = this.#world;
    if (answer.ok) {
      const { id, slot, epoch } = answer.reservation;
      history.note({ type: 'granted', request, slot, epoch });
      return { id, slot, epoch };
    }
    if ('miss' in answer) {
      history.note({ type: 'refused', request, reason: answer.miss.reason });
      return 'refused';
    }
    const { code, reason, message } = answer.error;
    // A lease that is shorter than an outage may be over before its answer has come.
    const isExpected = this.#isOfAKill(reason) || (reason === 'lease-expired' && this.#kind === 'leaver');
    if (code === 'ended' && reason !== undefined && isExpected) {
      history.note({ type: 'refused', request, reason });
      return 'refused';
    }
    if (['timeout', 'no-responders', 'disconnected', 'retry-elsewhere', 'shutting-down', 'overloaded'].includes(code)) return 'again';
    throw new Error(`${request}: ${code}: ${message}`);
  }

  async #takeBack(request: string, askedMs: number): Promise<void> {
    if (performance.now() - askedMs >= REPEAT_MS) await this.#cancel(request);
  }

  async #cancel(request: string): Promise<void> {
    const giveUpAtMs = performance.now() + PATIENCE_MS;
    const body = encode({ pool: this.pool, org: this.#org, requestId: request });
    for (;;) {
      let said: string;
      try {
        const message = await this.#world.cluster.bus.request(subjects.cancel(), body, { timeoutMs: TRY_MS });
        const answer = decode(message.data) as { readonly ok: true } | ErrorAnswer;
        // What has ended by itself needs no cancel.
        if (answer.ok || answer.error.code === 'ended') return;
        said = JSON.stringify(answer.error);
      } catch (error) {
        said = String(error);
      }
      if (performance.now() > giveUpAtMs) throw new Error(`cancel of ${request}: ${said} for ${PATIENCE_MS} ms`);
      await passed(PAUSE_MS);
    }
  }

  #isKilled(slot: string): boolean {
    return this.#world.history.events.some((event) => event.type === 'worker-killed' && event.slot === slot);
  }

  /** Whether a request may have ended so: its worker was just killed, perhaps under an owner that did not grant it. */
  #isOfAKill(reason: string | undefined): boolean {
    const sinceMs = performance.timeOrigin + performance.now() - KILL_MS;
    const isEndOfOne = KILL_ENDS.some((one) => one === reason);
    return isEndOfOne && this.#world.history.events.some((event) => event.type === 'worker-killed' && event.atMs >= sinceMs);
  }
}
