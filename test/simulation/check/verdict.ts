// The first thing that was found wrong in a run.
export interface Violation {
  /** The guarantee of DESIGN section 2 that is broken, or `defect`. */
  readonly rule: string;
  readonly said: string;
  readonly atMs: number;
}

export class Verdict {
  violation: Violation | undefined;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  broken(rule: string, said: string): void {
    this.violation ??= { rule, said, atMs: this.#nowMs() };
  }
}
