/** Why a query was ended before its time. */
export type InterruptReason =
  /** It took longer than it may. */
  | 'timeout'
  /** Its caller hung up. */
  | 'gone'
  /** The reservation ended, or the worker was reset. */
  | 'ended'
  /** The worker is going away and has no more time. */
  | 'drained';

/** Thrown where an interrupted query stands. */
export class Interrupted extends Error {
  readonly reason: InterruptReason;

  constructor(reason: InterruptReason) {
    super(`interrupted: ${reason}`);
    this.name = 'Interrupted';
    this.reason = reason;
  }
}

/** Asks one query to end, once; the first reason counts. */
export class Interruption {
  readonly #listeners = new Set<() => void>();
  #reason: InterruptReason | undefined;

  get reason(): InterruptReason | undefined {
    return this.#reason;
  }

  interrupt(reason: InterruptReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const listener of this.#listeners) listener();
  }

  /** Calls back at the interruption, at once where it has been; the answer takes the listener away. */
  onInterrupt(listener: () => void): () => void {
    if (this.#reason !== undefined) listener();
    else this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** @throws Interrupted */
  check(): void {
    if (this.#reason !== undefined) throw new Interrupted(this.#reason);
  }

  /** The promise, or the interruption where it comes first. @throws Interrupted */
  async race<T>(promise: Promise<T>): Promise<T> {
    this.check();
    const { promise: interrupted, reject } = Promise.withResolvers<never>();
    const forget = this.onInterrupt(() => reject(new Interrupted(this.#reason ?? 'ended')));
    try {
      return await Promise.race([promise, interrupted]);
    } finally {
      forget();
    }
  }
}
