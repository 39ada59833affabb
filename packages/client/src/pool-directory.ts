import { shardForOrg } from '@muster/domain';
import type { Clock, Logger, MessageBus } from '@muster/ports';
import { decode, type ErrorAnswer, encode, isMusterError, type PoolsAnswer, subjects } from '@muster/protocol';
import { pause } from './backoff.ts';
import { errorOf } from './errors.ts';

/** What was learned is used this long before it is asked again, beside the requests. */
const FRESH_MS = 30_000;
const TRY_MS = 2_000;
const RETRY_MS = 100;

/** Pools and their shards, as any replica tells them; the shards of a pool do not change while it exists (DESIGN 7.4). */
export class PoolDirectory {
  readonly #bus: MessageBus;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #pools = new Map<string, readonly string[]>();
  #learnedMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(options: { readonly bus: MessageBus; readonly clock: Clock; readonly logger: Logger }) {
    this.#bus = options.bus;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /**
   * The shard that decides for this org; undefined where there is no such pool.
   * @throws MusterError `timeout`, `disconnected`, `no-responders` where no replica answers until `untilMs`
   */
  async shardOf(pool: string, org: string, untilMs: number): Promise<string | undefined> {
    const isKnown = this.#pools.has(pool);
    if (!isKnown) await this.#askUntil(untilMs);
    else if (this.#clock.monotonicMs() - this.#learnedMs > FRESH_MS) {
      this.#ask().catch((error: unknown) => this.#logger.debug({ error }, 'the pools could not be asked again'));
    }
    const shards = this.#pools.get(pool);
    return shards === undefined ? undefined : shardForOrg(org, shards);
  }

  async #askUntil(untilMs: number): Promise<void> {
    for (;;) {
      try {
        return await this.#ask();
      } catch (error) {
        if (!isMusterError(error) || !error.retryable || this.#clock.monotonicMs() + RETRY_MS >= untilMs) throw error;
        await pause(this.#clock, RETRY_MS);
      }
    }
  }

  /** One question at a time, for all who want to know. */
  #ask(): Promise<void> {
    this.#asking ??= this.#bus
      .request(subjects.pools(), encode({}), { timeoutMs: TRY_MS })
      .then((message) => this.#learn(message.data))
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }

  #learn(data: Uint8Array): void {
    const answer = decode(data) as PoolsAnswer | ErrorAnswer;
    if (!answer.ok) throw errorOf(answer.error);
    this.#pools = new Map(answer.pools.map(({ pool, shards }) => [pool, shards]));
    this.#learnedMs = this.#clock.monotonicMs();
  }
}
