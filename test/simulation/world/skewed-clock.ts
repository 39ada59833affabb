// The clock of one machine, on the world's: it may run fast or slow, and jump.
//
//   C1. Its monotonic time never goes back. A jump goes forward; what becomes due by it fires at once, in its order.
import type { Clock, Timer } from '@muster/ports';

interface Pending {
  readonly dueMs: number;
  readonly fire: () => void;
  timer: Timer | undefined;
}

/** Above the rounding of a scaled delay, so that a timer that fires finds itself due. */
const ROUNDING_MS = 1e-6;

export class SkewedClock implements Clock {
  readonly #world: Clock;
  readonly #rate: number;
  readonly #pending = new Set<Pending>();
  #jumpedMs = 0;
  #wallOffMs: number;

  constructor(world: Clock, options: { readonly rate: number; readonly wallOffMs: number }) {
    this.#world = world;
    this.#rate = options.rate;
    this.#wallOffMs = options.wallOffMs;
  }

  monotonicMs(): number {
    return this.#world.monotonicMs() * this.#rate + this.#jumpedMs;
  }

  wallMs(): number {
    return Math.round(this.#world.wallMs() + this.#wallOffMs);
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    const pending: Pending = { dueMs: this.monotonicMs() + Math.max(0, delayMs), fire, timer: undefined };
    this.#pending.add(pending);
    this.#arm(pending);
    return {
      cancel: () => {
        pending.timer?.cancel();
        this.#pending.delete(pending);
      },
    };
  }

  /** The machine was suspended, or its clock set: both kinds of time are `ms` later. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
    this.#wallOffMs += ms;
    for (const pending of [...this.#pending].toSorted((one, other) => one.dueMs - other.dueMs)) {
      pending.timer?.cancel();
      this.#arm(pending);
    }
  }

  /** Somebody sets the time of day, forward or back. */
  setWall(byMs: number): void {
    this.#wallOffMs += byMs;
  }

  #arm(pending: Pending): void {
    const leftMs = Math.max(0, pending.dueMs - this.monotonicMs());
    const delayMs = leftMs === 0 || this.#rate === 1 ? leftMs : leftMs / this.#rate + ROUNDING_MS;
    pending.timer = this.#world.setTimer(delayMs, () => {
      this.#pending.delete(pending);
      pending.fire();
    });
  }
}
