/** When the requests of an open loop are due: evenly, from a start, whatever became of those before. */
export class Pace {
  readonly #startMs: number;
  readonly #stepMs: number;

  /** @param startMs when the first one is due */
  constructor(perSecond: number, startMs: number) {
    this.#startMs = startMs;
    this.#stepMs = 1_000 / perSecond;
  }

  /** When number `n` (from 0) is due. */
  dueMs(n: number): number {
    return this.#startMs + n * this.#stepMs;
  }

  /** How many are due up to and including this moment. */
  dueBy(nowMs: number): number {
    return nowMs < this.#startMs ? 0 : Math.floor((nowMs - this.#startMs) / this.#stepMs) + 1;
  }
}
