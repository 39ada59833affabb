// Notices when this process did not run: stopped, starved, or busy for too long.
//
//   L1. A gap is counted before anything that was received during it is looked at: everybody who releases something
//       observes first.
import type { Clock } from '@muster/ports';

/** Counts the gaps of the event loop that are longer than `gapMs`. */
export class LoopWatch {
  readonly #clock: Clock;
  readonly #gapMs: number;
  #seenMs: number;
  #gaps = 0;
  #lostMs = 0;

  constructor(clock: Clock, gapMs: number) {
    this.#clock = clock;
    this.#gapMs = gapMs;
    this.#seenMs = clock.monotonicMs();
  }

  /** Gaps so far. Two equal readings with a call of `observe` before the second: no gap between them. */
  get gaps(): number {
    return this.#gaps;
  }

  /** How long all gaps were together, up to now, ms. */
  lost(): number {
    this.observe();
    return this.#lostMs;
  }

  /** Called at least every eighth of the take-over time, and before something is released. Gives the time. */
  observe(): number {
    const nowMs = this.#clock.monotonicMs();
    const passedMs = nowMs - this.#seenMs;
    if (passedMs > this.#gapMs) {
      this.#gaps += 1;
      this.#lostMs += passedMs;
    }
    this.#seenMs = nowMs;
    return nowMs;
  }
}
