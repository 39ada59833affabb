// Tenants that reserve, renew and release all the time, and write down what they are told.
import { setTimeout as passed } from 'node:timers/promises';
import { DONE } from '@muster/cli';
import { MissError } from '@muster/client';
import { BUDGETS } from '@muster/domain';
import { isMusterError, type RefResult, type ReservationRef } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { type Cluster, SLOW, TRY_MS } from './cluster.ts';
import type { History } from './history.ts';

export interface LoadOptions {
  readonly cluster: Pick<Cluster, 'client' | 'reserve' | 'settle'>;
  readonly history: History;
  readonly pool: string;
  /** Tenants on plain NATS requests, and tenants on the client. */
  readonly plain: number;
  readonly clients: number;
}

/** Between two rounds of one tenant. */
const PAUSE_MS = 40;
/** As long as a pool lets anybody wait. */
const WAIT_MS = BUDGETS.waitMaxMs;
const LEASE_MS = 60_000;
/** Of one that is kept for longer than it: its client may stand still for some seconds before a renewal. */
const KEPT_LEASE_MS = 8_000;
const KEPT_MS = 10_000;
/** Every so many rounds a client keeps its reservation for longer than the lease. */
const KEEP_EVERY = 100;

/** Tenants that are at it until they are stopped. */
export class Load {
  readonly #stop = new AbortController();
  readonly #options: LoadOptions;
  readonly #running: Promise<void>[] = [];
  /** Rounds of each tenant that came to their end. */
  readonly #rounds: number[] = [];
  readonly #failures: string[] = [];
  #slowestMs = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    for (let n = 0; n < options.plain; n++) this.#run(`${options.pool}-plain-${n}`, (org) => this.#plainRound(org));
    for (let n = 0; n < options.clients; n++) void this.#runClient(`${options.pool}-client-${n}`);
  }

  /** Errors and misses that a tenant was given. */
  get failures(): readonly string[] {
    return this.#failures;
  }

  /** The longest that anybody waited for a grant. */
  get slowestMs(): number {
    return this.#slowestMs;
  }

  /** Resolves when every tenant has come through so many more rounds. */
  async rounds(more: number): Promise<void> {
    const wanted = this.#rounds.map((count) => count + more);
    const isDone = (): boolean => {
      if (this.#failures.length > 0) throw new Error(this.#failures.join('; '));
      return wanted.every((count, at) => (this.#rounds[at] ?? 0) >= count);
    };
    await eventually(isDone, SLOW);
  }

  /** Every tenant ends its round and goes. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  #run(org: string, round: (org: string, n: number) => Promise<void>): void {
    const at = this.#rounds.push(0) - 1;
    const run = async (): Promise<void> => {
      for (let n = 0; !this.#stop.signal.aborted; n++) {
        try {
          await round(org, n);
          this.#rounds[at] = n + 1;
        } catch (error) {
          this.#failures.push(`${org} in round ${n}: ${error instanceof Error ? error.message : String(error)}`);
          return;
        }
        await passed(PAUSE_MS);
      }
    };
    this.#running.push(run());
  }

  async #runClient(org: string): Promise<void> {
    const client = this.#options.cluster.client();
    this.#run(org, (name, n) => this.#clientRound(name, n, client));
    const last = this.#running.length - 1;
    const rounds = this.#running[last];
    this.#running[last] = Promise.resolve(rounds).then(async () => (await client).close());
  }

  /** As anyone would by hand: the same request again where nobody answers. */
  async #plainRound(org: string): Promise<void> {
    const { cluster, history, pool } = this.#options;
    const requestId = `${org}-${history.events.length}`;
    const askedMs = performance.now();
    history.note({ type: 'asked', request: requestId, pool, org });
    const answer = await cluster.reserve(pool, { org, requestId, waitMs: WAIT_MS }, TRY_MS);
    if (!answer.ok) {
      history.note({ type: 'refused', request: requestId });
      throw new Error(JSON.stringify(answer));
    }
    const { id, slot, epoch } = answer.reservation;
    const ref = { id, slot, epoch };
    history.note({ type: 'granted', request: requestId, slot, epoch });
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - askedMs);
    await renew(this.#options, ref);
    await release(this.#options, ref);
  }

  async #clientRound(org: string, n: number, connecting: ReturnType<Cluster['client']>): Promise<void> {
    const { history, pool } = this.#options;
    const client = await connecting;
    const requestId = `${org}-${n}`;
    const askedMs = performance.now();
    history.note({ type: 'asked', request: requestId, pool, org });
    const isKept = n % KEEP_EVERY === 0;
    const ttlMs = isKept ? KEPT_LEASE_MS : LEASE_MS;
    const reservation = await client.reserve(pool, { org, requestId, waitMs: WAIT_MS, ttlMs }).catch((error: unknown) => {
      if (error instanceof MissError || isMusterError(error, 'ended')) history.note({ type: 'refused', request: requestId });
      throw error;
    });
    const { slot, epoch } = reservation;
    history.note({ type: 'granted', request: requestId, slot, epoch });
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - askedMs);
    reservation.onLost((reason) => history.note({ type: 'lost', slot, epoch, reason }));
    // Some are kept for longer than their lease, and live on the client's renewals.
    if (isKept) await passed(KEPT_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    // Until somebody answers: an election of NATS may last for longer than the client tries.
    await eventually(async () => {
      history.note({ type: 'releasing', slot, epoch });
      await reservation.release();
    }, SLOW);
    // Success, also where a try whose answer was lost had done it.
    history.note({ type: 'released', slot, epoch, outcome: DONE });
  }
}

/** What its holder knows a reservation by. */
export interface HeldRef extends ReservationRef {
  readonly slot: string;
}

/** Renews until somebody answers, and writes down what was said. @returns it; `DONE` where it was done */
export async function renew({ cluster, history }: Pick<LoadOptions, 'cluster' | 'history'>, { id, slot, epoch }: HeldRef): Promise<string> {
  const outcome = outcomeOf(await cluster.settle('renew', { id, epoch }));
  history.note({ type: 'renewed', slot, epoch, outcome });
  return outcome;
}

/** Releases until somebody answers, and writes down what was said. */
export async function release({ cluster, history }: Pick<LoadOptions, 'cluster' | 'history'>, { id, slot, epoch }: HeldRef): Promise<void> {
  const result = await cluster.settle('release', { id, epoch }, () => history.note({ type: 'releasing', slot, epoch }));
  history.note({ type: 'released', slot, epoch, outcome: outcomeOf(result) });
}

function outcomeOf(result: RefResult): string {
  if (result.ok) return DONE;
  return result.error.code === 'ended' ? (result.error.reason ?? 'ended') : result.error.code;
}
