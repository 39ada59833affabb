// How fast this replica may call the API server.
//
// Invariants:
//   B1. In any span of t seconds at most `burst + perSecond × t` calls begin.
//   B2. Those that are urgent go first, each kind in the order in which they came. How many wait is bounded by their callers.
//   B3. While the server wants to be left alone (`pause`), none begins.
import type { Clock, Timer } from '@muster/ports';

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export class TokenBucket {
  readonly #clock: Clock;
  readonly #rate: Rate;
  readonly #urgent: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #tokens: number;
  #filledMs: number;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(clock: Clock, rate: Rate) {
    this.#clock = clock;
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledMs = clock.monotonicMs();
  }

  /** Resolves when a call may begin. */
  take(isUrgent: boolean): Promise<void> {
    return new Promise((resolve) => {
      (isUrgent ? this.#urgent : this.#idle).push(resolve);
      this.#serve();
    });
  }

  pause(delayMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#clock.monotonicMs() + delayMs);
  }

  #serve(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + ((nowMs - this.#filledMs) / 1_000) * this.#rate.perSecond);
    this.#filledMs = nowMs;
    while (nowMs >= this.#pausedUntilMs && this.#tokens >= 1) {
      const next = this.#urgent.shift() ?? this.#idle.shift();
      if (next === undefined) return;
      this.#tokens -= 1;
      next();
    }
    if (this.#urgent.length + this.#idle.length === 0) return;
    const refillMs = ((1 - this.#tokens) / this.#rate.perSecond) * 1_000;
    this.#timer = this.#clock.setTimer(Math.max(1, refillMs, this.#pausedUntilMs - nowMs), () => this.#serve());
  }
}
