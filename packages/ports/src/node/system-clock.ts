import type { Clock, Timer } from '../clock.ts';

/** Node fires a timer with a longer delay at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** The clock of this machine. Timers never fire early, which Node's own may do by up to a millisecond. */
export class SystemClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    return new SystemTimer(delayMs, fire);
  }
}

class SystemTimer implements Timer {
  readonly #dueMs: number;
  readonly #fire: () => void;
  #handle: NodeJS.Timeout;

  constructor(delayMs: number, fire: () => void) {
    this.#dueMs = performance.now() + delayMs;
    this.#fire = fire;
    this.#handle = setTimeout(this.#onDue, Math.max(0, Math.min(delayMs, DELAY_MS_MAX)));
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  readonly #onDue = (): void => {
    const leftMs = this.#dueMs - performance.now();
    if (leftMs > 0) this.#handle = setTimeout(this.#onDue, Math.min(leftMs, DELAY_MS_MAX));
    else this.#fire();
  };
}
