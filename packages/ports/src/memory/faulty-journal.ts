import type { Clock } from '../clock.ts';
import type { AppendOptions, AppendOutcome, Journal, JournalFollower, JournalMessage } from '../journal.ts';
import type { Subscription } from '../message-bus.ts';

/** What goes wrong with one append. */
export type AppendFault =
  /** It lands, and the acknowledgement is lost: `unknown`, after the time-out. */
  | { readonly kind: 'acknowledgement-lost' }
  /** It is lost on the way: `unknown`, after the time-out. */
  | { readonly kind: 'lost' }
  /** It times out, and is tried at the server `afterMs` later than that. */
  | { readonly kind: 'late'; readonly afterMs: number }
  /** It is refused without a trace. */
  | { readonly kind: 'not-stored'; readonly reason: 'no-responders' | 'in-flight' | 'limit' }
  /** Another record comes first, as the server would say. */
  | { readonly kind: 'conflict' }
  /** It takes `delayMs` longer each way. */
  | { readonly kind: 'delay'; readonly delayMs: number };

/** A journal whose appends fail as they are told to; all else goes to the inner one. */
export class FaultyJournal implements Journal {
  readonly #inner: Journal;
  readonly #clock: Clock;
  readonly #queue: AppendFault[] = [];
  /** Asked for each append that no injected fault waits for; may be replaced at any time. */
  choose: (shard: string, data: Uint8Array, options: AppendOptions) => AppendFault | undefined = () => undefined;

  constructor(inner: Journal, options: { readonly clock: Clock }) {
    this.#inner = inner;
    this.#clock = options.clock;
  }

  /** The next appends go wrong in this way, one each, in this order. */
  inject(...faults: readonly AppendFault[]): void {
    this.#queue.push(...faults);
  }

  get recordBytesMax(): number {
    return this.#inner.recordBytesMax;
  }

  async append(shard: string, data: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
    const fault = this.#queue.shift() ?? this.choose(shard, data, options);
    switch (fault?.kind) {
      case undefined:
        return this.#inner.append(shard, data, options);
      case 'acknowledgement-lost':
        // Lands at the inner journal's pace, in its order; only the answer is missing.
        await Promise.all([this.#inner.append(shard, data, options), this.#pass(options.timeoutMs)]);
        return { kind: 'unknown', message: `no answer in ${options.timeoutMs} ms` };
      case 'lost':
        await this.#pass(options.timeoutMs);
        return { kind: 'unknown', message: `no answer in ${options.timeoutMs} ms` };
      case 'late':
        this.#clock.setTimer(options.timeoutMs + fault.afterMs, () => void this.#inner.append(shard, data, options));
        await this.#pass(options.timeoutMs);
        return { kind: 'unknown', message: `no answer in ${options.timeoutMs} ms` };
      case 'not-stored':
        await this.#pass(0);
        return { kind: 'not-stored', reason: fault.reason, message: fault.reason };
      case 'conflict':
        await this.#pass(0);
        return { kind: 'conflict' };
      case 'delay': {
        await this.#pass(fault.delayMs);
        const outcome = await this.#inner.append(shard, data, options);
        await this.#pass(fault.delayMs);
        return outcome;
      }
    }
  }

  last(shard: string): Promise<JournalMessage | undefined> {
    return this.#inner.last(shard);
  }
  next(shard: string, fromSeq: number): Promise<JournalMessage | undefined> {
    return this.#inner.next(shard, fromSeq);
  }
  follow(follower: JournalFollower): Promise<Subscription> {
    return this.#inner.follow(follower);
  }
  putPart(shard: string, part: string, data: Uint8Array): Promise<void> {
    return this.#inner.putPart(shard, part, data);
  }
  getPart(shard: string, part: string): Promise<Uint8Array | undefined> {
    return this.#inner.getPart(shard, part);
  }
  deletePart(shard: string, part: string): Promise<void> {
    return this.#inner.deletePart(shard, part);
  }
  listParts(shard: string): Promise<readonly string[]> {
    return this.#inner.listParts(shard);
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.setTimer(ms, resolve);
    });
  }
}
