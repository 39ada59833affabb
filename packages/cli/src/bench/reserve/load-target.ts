import { MissError, type MusterClient } from '@muster/client';
import type { Clock, MessageBus, Random } from '@muster/ports';
import { decode, encode, type RenewAnswer, type ReserveAnswer } from '@muster/protocol';

/** A reservation of either side. */
export interface Held {
  readonly slot: string;
  readonly epoch: number;
  release(): Promise<void>;
}

/** What a client of the load asks. */
export interface LoadTarget {
  /** @returns undefined where there was none */
  reserve(org: string): Promise<Held | undefined>;
}

/** The cluster, by its client as an application uses it. */
export class MusterTarget implements LoadTarget {
  readonly #client: MusterClient;
  readonly #pool: string;

  constructor(client: MusterClient, pool: string) {
    this.#client = client;
    this.#pool = pool;
  }

  async reserve(org: string): Promise<Held | undefined> {
    try {
      return await this.#client.reserve(this.#pool, { org });
    } catch (error) {
      if (error instanceof MissError) return undefined;
      throw error;
    }
  }
}

const TIMEOUT_MS = 10_000;

/** The bare skeleton: the same requests, and nothing of a client around them. */
export class SkeletonTarget implements LoadTarget {
  readonly #bus: MessageBus;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #subject: string;

  constructor(bus: MessageBus, tools: { readonly random: Random; readonly clock: Clock }, subject: string) {
    this.#bus = bus;
    this.#random = tools.random;
    this.#clock = tools.clock;
    this.#subject = subject;
  }

  async reserve(org: string): Promise<Held | undefined> {
    const requestId = this.#random.id(20);
    const body = { type: 'reserve', org, requestId, isIdGiven: false, waitMs: 0, waitedMs: Math.floor(this.#clock.monotonicMs()) % 1_000 };
    const answer = (await this.#ask(requestId, body)) as ReserveAnswer;
    if (!answer.ok) throw new Error('the skeleton refused a reserve');
    const { id, slot, epoch } = answer.reservation;
    return { slot, epoch, release: () => this.#release(id, epoch) };
  }

  async #release(id: string, epoch: number): Promise<void> {
    const answer = (await this.#ask(undefined, { type: 'release', reservations: [{ id, epoch }] })) as RenewAnswer;
    if (!answer.ok) throw new Error('the skeleton refused a release');
  }

  async #ask(id: string | undefined, body: unknown): Promise<unknown> {
    const envelope = { v: 1, ...(id === undefined ? {} : { id }), deadlineMs: TIMEOUT_MS, body };
    const reply = await this.#bus.request(this.#subject, encode(envelope), { timeoutMs: TIMEOUT_MS });
    return (decode(reply.data) as { readonly answer: unknown }).answer;
  }
}
