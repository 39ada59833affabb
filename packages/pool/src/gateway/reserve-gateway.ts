// The public subjects of reserving (DESIGN 6.1), for anyone with a plain NATS client: any replica takes a request, checks
// it, and asks the owner of its shard on the requester's behalf, again and again until the request is answered.
//
//   W1. A request whose id was made here is nobody's once it was refused, or not answered: it is cancelled where a copy of it
//       may still be on its way, which would be granted to nobody. With an id of its requester's it may be asked again.
import { BUDGETS, type ClusterConfig, ownOf, shardForOrg } from '@muster/domain';
import type { BusMessage, Clock, Random, ServiceEndpoint } from '@muster/ports';
import {
  cancelRequestSchema,
  decodeRequest,
  type ErrorAnswer,
  encode,
  isMusterError,
  LIMITS,
  type Miss,
  MusterError,
  type PoolsAnswer,
  parse,
  poolSchema,
  type RefResult,
  type ReservationRef,
  type ReserveAnswer,
  reservationRefsSchema,
  reserveRequestSchema,
  type ShardCommand,
  shardsOf,
  subjects,
  tryShardOf,
} from '@muster/protocol';
import type { Runtime } from '@muster/runtime';

export interface GatewayOptions {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly random: Random;
  readonly cluster: string;
  /** Pools and orgs in force; undefined before the first configuration is known. */
  config(): ClusterConfig | undefined;
}

/** What tenants ask, from wherever it came: JSON as it was given, judged here. @throws MusterError with the code of the table */
export interface Requests {
  /** `isWanted`: whoever asked is still there; a grant that comes when it is not is taken back, where its id was made here. */
  reserve(pool: string, request: unknown, isWanted?: () => boolean): Promise<ReserveAnswer>;
  renew(refs: unknown): Promise<unknown>;
  release(refs: unknown): Promise<unknown>;
  cancel(request: unknown): Promise<unknown>;
}

export class ReserveGateway implements Requests {
  readonly #options: GatewayOptions;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  endpoints(): readonly ServiceEndpoint[] {
    const asked = (message: BusMessage, work: (request: unknown) => Promise<unknown>): void =>
      void answering(message, () => work(decodeRequest(message.data)));
    return [
      {
        name: 'reserve',
        subject: subjects.reserveAny(),
        handler: (message) => asked(message, (request) => this.reserve(message.subject.split('.')[3] ?? '', request)),
      },
      { name: 'renew', subject: subjects.renew(), handler: (message) => asked(message, (refs) => this.renew(refs)) },
      { name: 'release', subject: subjects.release(), handler: (message) => asked(message, (refs) => this.release(refs)) },
      { name: 'cancel', subject: subjects.cancel(), handler: (message) => asked(message, (request) => this.cancel(request)) },
      { name: 'pools', subject: subjects.pools(), handler: (message) => void answering(message, async () => this.#pools()) },
    ];
  }

  async reserve(name: string, given: unknown, isWanted = (): boolean => true): Promise<ReserveAnswer> {
    const pool = parse(poolSchema, name, 'pool');
    const request = parse(reserveRequestSchema, given);
    const spec = ownOf(this.#options.config()?.pools, pool);
    if (spec === undefined) return miss('pool-unknown', BUDGETS.retryHintMs);
    const { org, waitMs = 0, ttlMs, activation, deadlineMs = Number.POSITIVE_INFINITY } = request;
    const body: Extract<ShardCommand, { type: 'reserve' }> = {
      type: 'reserve',
      org,
      requestId: request.requestId ?? this.#options.random.id(20),
      isIdGiven: request.requestId !== undefined,
      waitMs: Math.min(waitMs, spec.waitMaxMs),
      waitedMs: 0,
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(activation === undefined ? {} : { activation }),
    };
    try {
      const timeoutMs = Math.min(deadlineMs, body.waitMs + spec.activationMs + BUDGETS.askMs);
      return await this.#askUntilAnswered(shardForOrg(org, shardsOf(pool, spec.shards)), body, timeoutMs, isWanted);
    } catch (error) {
      // This replica ends before the shard has answered; the next owner knows the request by its id.
      if (isMusterError(error, 'closed')) return miss('shutting-down', BUDGETS.retryHintMs);
      throw error;
    }
  }

  /** A waiter is kept alive by repeating it; the first answer to any of its tries is its answer. */
  #askUntilAnswered(
    shard: string,
    body: Extract<ShardCommand, { type: 'reserve' }>,
    timeoutMs: number,
    isWanted: () => boolean,
  ): Promise<ReserveAnswer> {
    const { clock, runtime } = this.#options;
    const beganMs = clock.monotonicMs();
    return new Promise((resolve, reject) => {
      let isDone = false;
      let open = 0;
      let sent = 0;
      const ask = (): void => {
        if (isDone || (sent > 0 && !isWanted())) return;
        const passedMs = Math.round(clock.monotonicMs() - beganMs);
        const waitedMs = Math.min(passedMs, LIMITS.waitMsMax);
        open += 1;
        sent += 1;
        runtime.ask(shard, { ...body, waitedMs }, { timeoutMs: Math.max(1, timeoutMs - passedMs), id: body.requestId }).then(
          ({ value, tries }) => {
            if (isDone) return;
            isDone = true;
            repeat?.cancel();
            const answer = value as ReserveAnswer;
            if (!isWanted() || (!answer.ok && Math.max(sent, tries) > 1)) this.#takeBack(shard, body);
            resolve(answer);
          },
          (error: unknown) => {
            open -= 1;
            if (open > 0 || isDone) return;
            isDone = true;
            repeat?.cancel();
            if (isMusterError(error, 'timeout')) this.#takeBack(shard, body);
            reject(error instanceof Error ? error : new Error(String(error)));
          },
        );
        repeat =
          passedMs + BUDGETS.waiterRepeatMs < Math.min(body.waitMs, timeoutMs) ? clock.setTimer(BUDGETS.waiterRepeatMs, ask) : undefined;
      };
      let repeat: { cancel(): void } | undefined;
      ask();
    });
  }

  #takeBack(shard: string, { org, requestId, isIdGiven }: Extract<ShardCommand, { type: 'reserve' }>): void {
    if (isIdGiven) return;
    const cancel = { type: 'cancel', org, requestId };
    // Unheard, the lease ends what is left.
    this.#options.runtime.ask(shard, cancel, { timeoutMs: BUDGETS.askMs }).catch(() => undefined);
  }

  renew(refs: unknown): Promise<unknown> {
    return this.#refs(refs, 'renew');
  }
  release(refs: unknown): Promise<unknown> {
    return this.#refs(refs, 'release');
  }

  async #refs(given: unknown, type: 'renew' | 'release'): Promise<unknown> {
    const parsed = parse(reservationRefsSchema, given);
    const refs: readonly ReservationRef[] = Array.isArray(parsed) ? parsed : [parsed];
    const byShard = Map.groupBy(refs, (ref) => tryShardOf(ref.id) ?? '');
    const results = new Map<ReservationRef, RefResult>();
    await Promise.all(
      [...byShard].map(async ([shard, own]) => {
        if (this.#options.runtime.shadow(shard) === undefined) {
          for (const ref of own) {
            const error = { code: 'not-found', message: `${ref.id} is not a reservation of this cluster` };
            results.set(ref, { id: ref.id, ok: false, error });
          }
          return;
        }
        const { value } = await this.#options.runtime.ask(shard, { type, reservations: own }, { timeoutMs: BUDGETS.askMs });
        const answer = value as { ok: true; results: readonly RefResult[] } | ErrorAnswer;
        own.forEach((ref, at) => {
          const result = answer.ok ? answer.results[at] : { id: ref.id, ok: false as const, error: answer.error };
          if (result !== undefined) results.set(ref, result);
        });
      }),
    );
    const inOrder = refs.map((ref) => results.get(ref));
    const [only] = inOrder;
    // One reference asked: one answer, so that a person reads `{ok: false, error}` at once.
    if (!Array.isArray(parsed) && only !== undefined && !only.ok) return { ok: false, error: only.error };
    return { ok: true, results: inOrder };
  }

  async cancel(request: unknown): Promise<unknown> {
    const { pool, org, requestId } = parse(cancelRequestSchema, request);
    const spec = ownOf(this.#options.config()?.pools, pool);
    if (spec === undefined) throw new MusterError('not-found', `there is no pool ${pool}`, { field: 'pool' });
    const shard = shardForOrg(org, shardsOf(pool, spec.shards));
    const { value } = await this.#options.runtime.ask(shard, { type: 'cancel', org, requestId }, { timeoutMs: BUDGETS.askMs });
    return value;
  }

  #pools(): PoolsAnswer {
    const pools = Object.values(this.#options.config()?.pools ?? {});
    return {
      ok: true,
      cluster: this.#options.cluster,
      pools: pools.map(({ name, shards }) => ({ pool: name, shards: shardsOf(name, shards) })),
    };
  }
}

function miss(reason: Miss['reason'], retryAfterMs: number): ReserveAnswer {
  return { ok: false, miss: { reason, retryAfterMs } };
}

/** Runs `work` and answers with what it gives, or with its error in the words of the table. */
export async function answering(message: BusMessage, work: () => Promise<unknown>): Promise<void> {
  try {
    message.respond(encode(await work()));
  } catch (error) {
    message.respond(encode(errorAnswer(error)));
  }
}

/** A failure as data. */
export function errorAnswer(error: unknown): ErrorAnswer {
  if (!isMusterError(error)) return { ok: false, error: { code: 'internal', message: 'a defect; the log has the rest' } };
  const { message, field } = error;
  const code = error.code === 'closed' ? 'shutting-down' : error.code;
  return { ok: false, error: { code, message, ...(field === undefined ? {} : { field }) } };
}
