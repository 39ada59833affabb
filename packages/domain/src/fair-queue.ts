// The queue of those who wait for a worker: fair between orgs, first come first served within one.
//
// Deficit round robin (Shreedhar and Varghese, 1995) with requests of equal cost: each org in its turn may take as many as
// its weight has saved up. First is who has waited longest, also before it came here (a takeover builds the queue anew).
// Invariants:
//   Q1. While orgs A and B both wait, what they are given is in the ratio of their weights, give or take one turn.
//   Q2. Within an org the order is that of `sinceMs`, then of coming.
//   Q3. Never more than `max` in all.

export interface Waiting<T> {
  readonly org: string;
  readonly id: string;
  /** Of the org; at least 0.01. */
  readonly weight: number;
  /** When it began to wait, on the owner's clock; before it came here where it had waited elsewhere. */
  readonly sinceMs: number;
  readonly value: T;
}

interface Line<T> {
  weight: number;
  deficit: number;
  /** In order of `sinceMs`. */
  readonly entries: Waiting<T>[];
  readonly byId: Map<string, Waiting<T>>;
}

const WEIGHT_MIN = 0.01;

export class FairQueue<T> {
  readonly #max: number;
  /** In the order of their turns. */
  readonly #lines = new Map<string, Line<T>>();
  #size = 0;

  constructor(options: { readonly max: number }) {
    this.#max = options.max;
  }

  get size(): number {
    return this.#size;
  }
  sizeOf(org: string): number {
    return this.#lines.get(org)?.entries.length ?? 0;
  }
  /** Orgs that wait. */
  orgs(): readonly string[] {
    return [...this.#lines.keys()];
  }
  get(org: string, id: string): T | undefined {
    return this.#lines.get(org)?.byId.get(id)?.value;
  }

  /** False where the queue is full, or the id of this org waits already. */
  add(waiting: Waiting<T>): boolean {
    if (this.#size >= this.#max) return false;
    const line = this.#lines.get(waiting.org) ?? { weight: 1, deficit: 0, entries: [], byId: new Map<string, Waiting<T>>() };
    if (line.byId.has(waiting.id)) return false;
    line.weight = Math.max(WEIGHT_MIN, waiting.weight);
    let at = line.entries.length;
    while (at > 0 && (line.entries[at - 1]?.sinceMs ?? 0) > waiting.sinceMs) at -= 1;
    line.entries.splice(at, 0, waiting);
    line.byId.set(waiting.id, waiting);
    this.#lines.set(waiting.org, line);
    this.#size += 1;
    return true;
  }

  /** The next in turn. */
  take(): T | undefined {
    for (;;) {
      const next = this.#lines.entries().next().value;
      if (next === undefined) return undefined;
      const [org, line] = next;
      if (line.deficit < 1) line.deficit += line.weight;
      const first = line.entries[0];
      if (line.deficit >= 1 && first !== undefined) {
        line.deficit -= 1;
        this.remove(org, first.id);
        if (line.deficit < 1) this.#toTheEnd(org, line);
        return first.value;
      }
      this.#toTheEnd(org, line);
    }
  }

  remove(org: string, id: string): T | undefined {
    const line = this.#lines.get(org);
    const entry = line?.byId.get(id);
    if (line === undefined || entry === undefined) return undefined;
    line.byId.delete(id);
    line.entries.splice(line.entries.indexOf(entry), 1);
    this.#size -= 1;
    // Who has nobody waiting saves up nothing.
    if (line.entries.length === 0) this.#lines.delete(org);
    return entry.value;
  }

  oldestOf(org: string): T | undefined {
    return this.#lines.get(org)?.entries[0]?.value;
  }
  newestOf(org: string): T | undefined {
    return this.#lines.get(org)?.entries.at(-1)?.value;
  }
  /** Who has waited longest of all. */
  oldest(): T | undefined {
    let oldest: Waiting<T> | undefined;
    for (const { entries } of this.#lines.values()) {
      const [first] = entries;
      if (first !== undefined && (oldest === undefined || first.sinceMs < oldest.sinceMs)) oldest = first;
    }
    return oldest?.value;
  }

  /** Its place, from 1, as if all weights were equal: those of its own org before it, and as many of every other. */
  position(org: string, id: string): number | undefined {
    const line = this.#lines.get(org);
    const rank = line?.entries.findIndex((entry) => entry.id === id) ?? -1;
    if (rank < 0) return undefined;
    let before = rank;
    for (const [other, { entries }] of this.#lines) if (other !== org) before += Math.min(entries.length, rank);
    return before + 1;
  }

  #toTheEnd(org: string, line: Line<T>): void {
    if (!this.#lines.delete(org) || line.entries.length === 0) return;
    this.#lines.set(org, line);
  }
}
