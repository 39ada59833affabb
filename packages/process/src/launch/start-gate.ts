import { setImmediate } from 'node:timers/promises';

/**
 * Lets a bounded number of starts be under way, and only one `spawn` in a turn of the loop: each takes 20 ms and more
 * (FACTS), and beats must go out between them.
 */
export class StartGate {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #lastSpawn: Promise<unknown> = Promise.resolve();

  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(start: () => Promise<T>): Promise<T> {
    if (this.#underWay >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#underWay += 1;
    try {
      return await start();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay -= 1;
      else next();
    }
  }

  /** Runs a synchronous `spawn` in a turn of its own. */
  async turn<T>(spawn: () => T): Promise<T> {
    const mine = this.#lastSpawn.then(async () => {
      await setImmediate();
      return spawn();
    });
    this.#lastSpawn = mine.catch(() => undefined);
    return mine;
  }
}
