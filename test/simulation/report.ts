// What a batch of runs came to, in words.
import { createHash } from 'node:crypto';
import type { RunResult } from './simulation.ts';

/** Adds up runs, in whatever order they end. */
export class Report {
  readonly failures: RunResult[] = [];
  readonly #hashes = new Map<number, string>();
  readonly #faults = new Map<string, number>();
  #steps = 0;
  #virtualMs = 0;
  #grants = 0;

  get runs(): number {
    return this.#hashes.size;
  }

  add(result: RunResult): void {
    this.#hashes.set(result.seed, result.hash);
    for (const [kind, count] of result.faults) this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
    this.#steps += result.steps;
    this.#virtualMs += result.virtualMs;
    this.#grants += result.grants;
    if (result.violation !== undefined) this.failures.push(result);
  }

  /** One hash over the traces of all seeds, in their order. */
  get hash(): string {
    const hash = createHash('sha256');
    for (const [seed, one] of [...this.#hashes].toSorted(([a], [b]) => a - b)) hash.update(`${seed} ${one}\n`);
    return hash.digest('hex').slice(0, 16);
  }

  progress(): string {
    return `${this.runs} seeds, ${this.#steps} steps, ${hours(this.#virtualMs)} virtual hours, ${this.failures.length} violations`;
  }

  lines(): readonly string[] {
    const faults = [...this.#faults].toSorted(([, a], [, b]) => b - a).map(([kind, count]) => `  ${kind.padEnd(40)} ${count}`);
    return [
      `seeds          ${this.runs}`,
      `steps          ${this.#steps}`,
      `virtual hours  ${hours(this.#virtualMs)}`,
      `reservations   ${this.#grants}`,
      `violations     ${this.failures.length}`,
      `trace hash     ${this.hash}`,
      'faults',
      ...faults,
    ];
  }
}

function hours(ms: number): string {
  return (ms / 3_600_000).toFixed(1);
}

/** A failed run: what is broken, the events before, and the command that shows it again. */
export function failureLines(result: RunResult, faults: readonly number[] | undefined, events = 40): readonly string[] {
  const { violation, seed } = result;
  return [
    `seed ${seed}: ${violation?.rule} at ${violation?.atMs.toFixed(0)} ms: ${violation?.said}`,
    ...result.lastEvents.slice(-events).map((event) => `    ${event}`),
    `replay: npm run simulate -- --seed ${seed}${faults === undefined ? '' : ` --faults ${faults.join()}`}`,
  ];
}
