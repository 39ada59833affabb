// Asks the owner of a shard, wherever it is.
//
// Owns: one message and its retries. Does not own: what a request means, or how long it waits.
// Invariants:
//   L1. A try that says nothing about the outcome (no owner now, moved, time-out, link down) is never given back while the
//       deadline lasts; the same bytes but for the deadline go again.
//   L2. An answer of a lower epoch than one already heard for the same ask does not win while the deadline lasts.
import type { Clock, MessageBus, Random } from '@muster/ports';
import { decode, type ErrorAnswer, encode, isMusterError, MusterError, type ShardCommand, subjects } from '@muster/protocol';
import { backoffMs, pause } from './backoff.ts';
import { errorOf } from './errors.ts';

/** One try is given up after this long, when more time is left: its owner may have died with it. */
const TRY_MS = 2_000;

export type ShardReply =
  | { readonly kind: 'answer'; readonly epoch: number; readonly answer: unknown }
  | { readonly kind: 'refused'; readonly epoch: number; readonly error: ErrorAnswer['error'] }
  /** The outcome is unknown: ask again. */
  | { readonly kind: 'again'; readonly epoch: number; readonly why: string };

export interface AskOptions {
  /** On this process's monotonic clock. */
  readonly untilMs: number;
  /** One try is given up after this long; default 2 s. */
  readonly tryMs?: number;
}

export class ShardLink {
  readonly #bus: MessageBus;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(options: { readonly bus: MessageBus; readonly clock: Clock; readonly random: Random }) {
    this.#bus = options.bus;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /**
   * Sends once. `waitMs` is how long somebody waits for the answer, which the owner is told.
   * @throws MusterError `payload-too-large`, `bad-request` (the answer is not one), `closed`
   */
  async send(shard: string, body: ShardCommandInput, waitMs: number, id?: string): Promise<ShardReply> {
    const envelope = { v: 1, ...(id === undefined ? {} : { id }), deadlineMs: Math.ceil(waitMs), body };
    try {
      const message = await this.#bus.request(subjects.shardRequest(shard), encode(envelope), { timeoutMs: waitMs });
      return readReply(message.data);
    } catch (error) {
      const isUnknown = isMusterError(error, 'no-responders') || isMusterError(error, 'timeout') || isMusterError(error, 'disconnected');
      if (!isUnknown) throw error;
      return { kind: 'again', epoch: 0, why: error.code === 'no-responders' ? `shard ${shard} has no owner now` : error.message };
    }
  }

  /**
   * Asks until there is an answer.
   * @throws MusterError `timeout`; the refusal's own code (`overloaded`, `bad-request`, …)
   */
  async ask(shard: string, body: ShardCommandInput, options: AskOptions): Promise<unknown> {
    let why = 'not sent';
    let highestEpoch = 0;
    let stale: ShardReply | undefined;
    for (let failures = 0; ; failures++) {
      const leftMs = options.untilMs - this.#clock.monotonicMs();
      if (leftMs <= 0) break;
      const reply = await this.send(shard, body, Math.min(leftMs, options.tryMs ?? TRY_MS));
      if (reply.kind !== 'again') {
        if (reply.epoch >= highestEpoch) return settle(reply);
        stale = reply;
      } else why = reply.why;
      highestEpoch = Math.max(highestEpoch, reply.epoch);
      const delayMs = this.backoffMs(failures);
      await pause(this.#clock, Math.max(0, Math.min(delayMs, options.untilMs - this.#clock.monotonicMs())));
    }
    if (stale !== undefined) return settle(stale);
    throw new MusterError('timeout', `${body.type} on shard ${shard} was not answered in time: ${why}`);
  }

  backoffMs(failures: number): number {
    return backoffMs(failures, this.#random);
  }
}

/** A shard's command before defaults are filled in. */
export type ShardCommandInput = Extract<ShardCommand, { type: 'reserve' | 'renew' | 'release' | 'cancel' }>;

function settle(reply: ShardReply): unknown {
  if (reply.kind === 'answer') return reply.answer;
  if (reply.kind === 'refused') throw errorOf(reply.error);
  throw new MusterError('internal', reply.why);
}

function readReply(data: Uint8Array): ShardReply {
  const reply = decode(data);
  if (typeof reply !== 'object' || reply === null) throw new MusterError('bad-request', 'the answer of a shard is not an object');
  const { epoch, answer, error } = reply as { epoch?: unknown; answer?: unknown; error?: ErrorAnswer['error'] };
  const epochRead = typeof epoch === 'number' ? epoch : 0;
  if (error === undefined) return { kind: 'answer', epoch: epochRead, answer };
  // A replica that is stopping has handed its shards over: the next try reaches the new owner.
  if (error.code === 'retry-elsewhere' || error.code === 'shutting-down') return { kind: 'again', epoch: epochRead, why: error.message };
  return { kind: 'refused', epoch: epochRead, error };
}
