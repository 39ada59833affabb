import { Interrupted, type Interruption } from './interruption.ts';

/** More queries wait than may. */
export class TooManyQueries extends Error {
  constructor(running: number, waiting: number) {
    super(`${running} queries are running and ${waiting} are waiting`);
    this.name = 'TooManyQueries';
  }
}

/** Lets so many queries run at once and so many wait, first come first served; what is beyond that is refused. */
export class Admission {
  readonly #runningMax: number;
  readonly #waitingMax: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(runningMax: number, waitingMax: number) {
    this.#runningMax = runningMax;
    this.#waitingMax = waitingMax;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when the query may run, with what it must call when it has ended.
   * @throws TooManyQueries, Interrupted (while it waited)
   */
  async enter(interruption: Interruption): Promise<() => void> {
    interruption.check();
    if (this.#running < this.#runningMax) {
      this.#running += 1;
    } else {
      if (this.#waiting.size >= this.#waitingMax) throw new TooManyQueries(this.#running, this.#waiting.size);
      await this.#wait(interruption);
    }
    let hasLeft = false;
    return () => {
      if (hasLeft) return;
      hasLeft = true;
      this.#leave();
    };
  }

  /** The place of a query that leaves goes straight to the first that waits, so that nobody overtakes it. */
  #leave(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(first);
    first();
  }

  async #wait(interruption: Interruption): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const forget = interruption.onInterrupt(() => {
      if (this.#waiting.delete(resolve)) reject(new Interrupted(interruption.reason ?? 'ended'));
    });
    try {
      await promise;
    } finally {
      forget();
    }
  }
}
