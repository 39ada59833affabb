// What happened in one run: a running hash of all of it, and the last events in words.
//
//   T1. Two runs of one plan write the same events at the same virtual times, so their hashes are equal.
import { createHash } from 'node:crypto';

/** Events that are kept to be shown. */
const KEPT = 400;

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #kept: string[] = [];
  readonly #nowMs: () => number;
  #events = 0;
  /** Told of every event. */
  onEvent: (line: string) => void = () => undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get events(): number {
    return this.#events;
  }

  add(event: string): void {
    const line = `${this.#nowMs().toFixed(3)} ${event}`;
    this.#events += 1;
    this.#hash.update(line).update('\n');
    this.#kept[this.#events % KEPT] = line;
    this.onEvent(line);
  }

  /** Ends the trace. */
  digest(): string {
    return this.#hash.digest('hex').slice(0, 16);
  }

  /** The last `most` events, oldest first. */
  last(most: number): readonly string[] {
    const lines: string[] = [];
    for (let back = Math.min(most, KEPT, this.#events) - 1; back >= 0; back--) {
      const line = this.#kept[(this.#events - back) % KEPT];
      if (line !== undefined) lines.push(line);
    }
    return lines;
  }
}
