// The way into a cluster that runs in containers, for tenants and operators.
import { connect, type MusterClient } from '@muster/client';
import { connectNats, type NatsConnected, type NatsOptions } from '@muster/nats';
import { type MessageBus, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import {
  type AdminAnswers,
  type AdminRequestInput,
  decode,
  encode,
  type ErrorAnswer,
  type RefResult,
  type ReservationRef,
  type ReserveAnswer,
  type ReserveRequest,
  type SlotSummary,
  subjects,
} from '@muster/protocol';
import { eventually } from '@muster/testkit';

/** For what containers take on a machine that does other things too. */
export const SLOW = { timeoutMs: 120_000, everyMs: 100 } as const;
/** How long one try is waited for, before the same is asked again. */
const TRY_MS = 4_000;

export class Door implements AsyncDisposable {
  readonly #findNats: () => Promise<Pick<NatsOptions, 'servers' | 'credentials' | 'tls'>>;
  #connecting: Promise<NatsConnected> | undefined;

  /** Where NATS is published on this machine, once it is, and who the test is there. */
  constructor(findNats: () => Promise<Pick<NatsOptions, 'servers' | 'credentials' | 'tls'>>) {
    this.#findNats = findNats;
  }

  /** Asks any replica over NATS, again where none answers. */
  async admin<R extends AdminRequestInput>(request: R): Promise<AdminAnswers[R['type']]> {
    return this.#ask<AdminAnswers[R['type']]>(subjects.admin(), request, TRY_MS);
  }

  async slots(): Promise<readonly SlotSummary[]> {
    return (await this.admin({ type: 'slots' })).slots;
  }

  /** The same request again, with its id, until somebody answers; an answer that is lost costs one try and no more. */
  async reserve(pool: string, request: ReserveRequest & { readonly requestId: string }): Promise<ReserveAnswer> {
    return this.#ask<ReserveAnswer>(subjects.reserve(pool), request, TRY_MS);
  }

  /** Renews or releases one reservation, until somebody answers; `onTry` is called before each message. */
  async settle(what: 'renew' | 'release', { id, epoch }: ReservationRef, onTry?: () => void): Promise<RefResult> {
    const { results } = await this.#ask<{ readonly ok: true; readonly results: readonly RefResult[] }>(
      subjects[what](),
      [{ id, epoch }],
      TRY_MS,
      onTry,
    );
    const [result] = results;
    if (result === undefined) throw new Error(`${what}: no result`);
    return result;
  }

  async client(): Promise<MusterClient> {
    return eventually(async () => connect({ ...(await this.#findNats()), name: 'test-client' }), SLOW);
  }

  /** A connection of the test's own; whoever comes while it is being made gets the same one. */
  async bus(): Promise<MessageBus> {
    this.#connecting ??= this.#connect();
    return (await this.#connecting).bus;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#connecting?.catch(() => undefined))?.close();
  }

  async #connect(): Promise<NatsConnected> {
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
    return eventually(async () => connectNats({ ...(await this.#findNats()), name: 'test', ...tools }), SLOW);
  }

  async #ask<T>(subject: string, body: unknown, timeoutMs: number, onTry?: () => void): Promise<T> {
    return eventually(async () => {
      onTry?.();
      const message = await (await this.bus()).request(subject, encode(body), { timeoutMs });
      const answer = decode(message.data) as T | ErrorAnswer;
      if (isError(answer)) throw new Error(`${subject}: ${JSON.stringify(answer.error)}`);
      return answer as Exclude<T, false>;
    }, SLOW);
  }
}

function isError(answer: unknown): answer is ErrorAnswer {
  return typeof answer === 'object' && answer !== null && 'error' in answer;
}
