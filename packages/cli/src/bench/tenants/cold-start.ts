// Brings a pool to nothing warm and keeps it there until it is let go: it is held, and what is warm is drained.
import type { Clock, MessageBus } from '@muster/ports';
import type { PoolSummary } from '@muster/protocol';
import { askAdmin } from '../../cluster/ask-admin.ts';
import { CliError } from '../../exit.ts';
import { pause } from '../measure/pause.ts';
import type { PoolObserver } from './pool-observer.ts';

/** A hold ends by itself, so that a bench that is killed leaves nothing held for long. */
const HOLD_MS = 60_000;
const RENEW_MS = 15_000;
const LOOK_MS = 50;
const EMPTY_WITHIN_MS = 180_000;
const WAITING_WITHIN_MS = 60_000;
const DRAINED_AT_ONCE = 20;

export class ColdStart {
  readonly #bus: MessageBus;
  readonly #clock: Clock;
  readonly #pool: string;
  readonly #observer: PoolObserver;
  readonly #ended = new AbortController();
  #renewing: Promise<void> | undefined;

  constructor(bus: MessageBus, clock: Clock, pool: string, observer: PoolObserver) {
    this.#bus = bus;
    this.#clock = clock;
    this.#pool = pool;
    this.#observer = observer;
  }

  /** Holds the pool, and resolves when it has nothing warm, starting or draining. @throws CliError `timeout`, MusterError */
  async begin(signal: AbortSignal): Promise<void> {
    await this.#hold();
    this.#renewing = this.#keepHeld();
    const isEmpty = ({ warm, spawning, draining }: PoolSummary): boolean => warm + spawning + draining === 0;
    await this.#until(EMPTY_WITHIN_MS, signal, 'is not empty', isEmpty, () => this.#drainWarm());
  }

  /** Resolves when so many requests wait, or were refused and are expected again. @throws CliError `timeout` */
  async waitFor(requests: number, signal: AbortSignal): Promise<void> {
    await this.#until(WAITING_WITHIN_MS, signal, `has fewer than ${requests} waiting`, (pool) => pool.waiting + pool.refused >= requests);
  }

  /** Lets the pool scale again. @returns when it was told to, on the monotonic clock */
  async resume(): Promise<number> {
    this.#ended.abort();
    await this.#renewing;
    const resumedMs = this.#clock.monotonicMs();
    await askAdmin(this.#bus, { type: 'resume', pool: this.#pool });
    return resumedMs;
  }

  /** As `resume`, for an end in disorder: what cannot be told ends by itself within a minute. */
  async giveUp(): Promise<void> {
    if (this.#renewing === undefined || this.#ended.signal.aborted) return;
    await this.resume().catch(() => undefined);
  }

  async #hold(): Promise<void> {
    await askAdmin(this.#bus, { type: 'hold', pool: this.#pool, holdMs: HOLD_MS });
  }

  async #keepHeld(): Promise<void> {
    for (;;) {
      await pause(this.#clock, RENEW_MS, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      // One that fails is followed by three more before the hold runs out.
      await this.#hold().catch(() => undefined);
    }
  }

  async #drainWarm(): Promise<void> {
    const slots = (await this.#observer.tryLook()) ?? [];
    const warm = slots.filter(({ state }) => state === 'warm').slice(0, DRAINED_AT_ONCE);
    // One that was taken or went away meanwhile is seen by the next look.
    await Promise.allSettled(warm.map(({ slot }) => askAdmin(this.#bus, { type: 'drain', slot })));
  }

  async #until(
    withinMs: number,
    signal: AbortSignal,
    missing: string,
    isDone: (pool: PoolSummary) => boolean,
    act?: () => Promise<void>,
  ): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + withinMs;
    for (;;) {
      signal.throwIfAborted();
      const pool = await this.#observer.tryPool();
      if (pool !== undefined && isDone(pool)) return;
      if (this.#clock.monotonicMs() >= untilMs) {
        const { warm = 0, spawning = 0, draining = 0, waiting = 0, refused = 0 } = pool ?? {};
        const numbers = `${warm} warm, ${spawning} spawning, ${draining} draining, ${waiting} waiting, ${refused} refused`;
        throw new CliError('timeout', `pool ${this.#pool} ${missing} after ${withinMs} ms: ${numbers}`);
      }
      await act?.();
      await pause(this.#clock, LOOK_MS, signal);
    }
  }
}
