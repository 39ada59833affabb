// Brings a command to the owner of a shard, wherever that is, and its answer back.
//
//   G1. A try whose outcome is unknown is tried again with the same id, within the deadline: each ask has an id.
//   G2. An answer of a lower epoch than one that was seen counts as none.
//   G3. Every ask ends: by an answer, a refusal, or its deadline.
import type { Clock, MessageBus, Random } from '@muster/ports';
import { isMusterError, MusterError, subjects } from '@muster/protocol';
import type { AskAnswer } from '../contract.ts';
import type { CommandError } from '../shard/command.ts';
import type { LiveShard } from '../shard/owned-shard.ts';
import { encodeRequest, parseResponse } from './wire.ts';

export interface RouterOptions {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly takeoverMs: number;
  readonly live: (shard: string) => LiveShard | undefined;
}

interface Ask {
  readonly shard: string;
  readonly body: unknown;
  readonly id: string;
  readonly deadlineMs: number;
  tries: number;
  lastError: string;
  resolve(answer: AskAnswer): void;
  reject(error: MusterError): void;
}

const BACKOFF_FIRST_MS = 20;
const BACKOFF_MAX_MS = 200;
const TRY_MAX_MS = 2_000;
/** Epochs are remembered for so many shards. */
const EPOCHS_MAX = 10_000;

export class Router {
  readonly #options: RouterOptions;
  readonly #epochs = new Map<string, number>();
  readonly #pending = new Set<Ask>();
  #isClosed = false;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  /** Asks that have no answer yet. */
  get pending(): number {
    return this.#pending.size;
  }

  ask(shard: string, body: unknown, options: { readonly timeoutMs: number; readonly id?: string }): Promise<AskAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        reject(new MusterError('closed', 'the runtime was stopped'));
        return;
      }
      const ask: Ask = {
        shard,
        body,
        id: options.id ?? this.#options.random.id(),
        deadlineMs: this.#options.clock.monotonicMs() + options.timeoutMs,
        tries: 0,
        lastError: 'not tried yet',
        resolve,
        reject,
      };
      this.#pending.add(ask);
      this.#try(ask);
    });
  }

  tell(shard: string, body: unknown): void {
    const { live, bus, clock } = this.#options;
    const here = live(shard);
    const deadlineMs = TRY_MAX_MS;
    if (here === undefined) bus.publish(subjects.shardCommand(shard), encodeRequest({ id: undefined, deadlineMs, body }));
    else here.receive({ body, id: undefined, deadlineMs: clock.monotonicMs() + deadlineMs, asker: NOBODY });
  }

  /** A newer owner was seen. */
  heardEpoch(shard: string, epoch: number): void {
    if (epoch <= (this.#epochs.get(shard) ?? 0)) return;
    if (this.#epochs.size >= EPOCHS_MAX && !this.#epochs.has(shard)) this.#epochs.clear();
    this.#epochs.set(shard, epoch);
  }

  /** The epochs of a stream that lost writes are void. */
  forgetEpochs(): void {
    this.#epochs.clear();
  }

  close(): void {
    this.#isClosed = true;
    for (const ask of this.#pending) this.#fail(ask, new MusterError('closed', 'the runtime was stopped'));
  }

  #try(ask: Ask): void {
    if (!this.#pending.has(ask)) return;
    const { clock, live, takeoverMs } = this.#options;
    const leftMs = ask.deadlineMs - clock.monotonicMs();
    // Less than a millisecond is nothing: a clock of floating point numbers may never make it pass.
    if (leftMs < 1) {
      const { shard, tries, lastError } = ask;
      this.#fail(ask, new MusterError('timeout', `${shard} did not answer in time: ${tries} tries, the last: ${lastError}`));
      return;
    }
    ask.tries += 1;
    // The first try is short, so that one lost with its owner costs less than the take-over; a long wait is repeated seldom.
    const tryMs = Math.min(leftMs, TRY_MAX_MS, (takeoverMs / 2) * 1.5 ** (ask.tries - 1));
    const here = live(ask.shard);
    if (here === undefined) this.#tryRemote(ask, tryMs, leftMs);
    else this.#tryLocal(ask, here, leftMs);
  }

  /** Here nothing is lost on the way: the owner answers, or refuses when it loses the shard. */
  #tryLocal(ask: Ask, here: LiveShard, leftMs: number): void {
    let isOver = false;
    const timer = this.#options.clock.setTimer(leftMs, () => {
      if (isOver) return;
      isOver = true;
      ask.lastError = 'no answer';
      this.#try(ask);
    });
    const settle = (run: () => void): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      run();
    };
    here.receive({
      body: ask.body,
      id: ask.id,
      deadlineMs: ask.deadlineMs,
      asker: {
        isWaiting: true,
        answer: (epoch, value) => settle(() => this.#answered(ask, epoch, value)),
        refuse: (epoch, error) => settle(() => this.#refused(ask, epoch, error)),
      },
    });
  }

  #tryRemote(ask: Ask, tryMs: number, leftMs: number): void {
    const { bus } = this.#options;
    let request: Promise<{ readonly data: Uint8Array }>;
    try {
      const data = encodeRequest({ id: ask.id, deadlineMs: leftMs, body: ask.body });
      request = bus.request(subjects.shardCommand(ask.shard), data, { timeoutMs: tryMs });
    } catch (error) {
      this.#tryFailed(ask, error);
      return;
    }
    request.then(
      (message) => {
        try {
          const response = parseResponse(message.data);
          if ('error' in response) this.#refused(ask, response.epoch, response.error);
          else this.#answered(ask, response.epoch, response.answer);
        } catch (error) {
          this.#tryFailed(ask, error);
        }
      },
      (error: unknown) => this.#tryFailed(ask, error),
    );
  }

  #answered(ask: Ask, epoch: number, value: unknown): void {
    if (epoch < (this.#epochs.get(ask.shard) ?? 0)) {
      this.#again(ask, `an answer of the old epoch ${epoch}`);
      return;
    }
    this.heardEpoch(ask.shard, epoch);
    if (this.#pending.delete(ask)) ask.resolve({ epoch, value, tries: ask.tries });
  }

  #refused(ask: Ask, epoch: number, error: CommandError): void {
    if (error.code === 'retry-elsewhere' || error.code === 'shutting-down' || epoch < (this.#epochs.get(ask.shard) ?? 0)) {
      this.#again(ask, error.message);
      return;
    }
    this.#fail(ask, new MusterError(error.code, error.message, error.field === undefined ? {} : { field: error.field }));
  }

  #tryFailed(ask: Ask, error: unknown): void {
    const isWorthIt = isMusterError(error) && (error.code === 'no-responders' || error.code === 'timeout' || error.code === 'disconnected');
    if (isWorthIt) this.#again(ask, error.message);
    else this.#fail(ask, isMusterError(error) ? error : new MusterError('internal', String(error), { cause: error }));
  }

  #again(ask: Ask, why: string): void {
    const { clock, random } = this.#options;
    ask.lastError = why;
    const delayMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(ask.tries - 1, 10)) * (0.5 + random.next() / 2);
    clock.setTimer(Math.min(delayMs, Math.max(0, ask.deadlineMs - clock.monotonicMs())), () => this.#try(ask));
  }

  #fail(ask: Ask, error: MusterError): void {
    if (this.#pending.delete(ask)) ask.reject(error);
  }
}

const NOBODY = { isWaiting: false, answer: () => undefined, refuse: () => undefined } as const;
