// The queue of those who wait for a worker: fair between orgs, first come first served within one.
//
// Deficit round robin (Shreedhar and Varghese, 1995) with requests of equal cost: each org in its turn may take as many as
// its weight has saved up. A round visits every org that waited when it began, the longest wait first; who comes during a
// round is in the next. First is who has waited longest, also before it came here (a takeover builds the queue anew).
// Invariants:
//   Q1. While orgs A and B both wait, what they are given is in the ratio of their weights, give or take one turn; and an
//       org that begins to wait has its turn within two rounds, whatever the others do.
//   Q2. Within an org the order is that of `sinceMs`, then of coming.
//   Q3. Never more than `max` in all.
//   Q4. Orgs that want one worker each are served in the order of `sinceMs`.
// Costs: a take is O(1), with one sort of the orgs a round; add and remove search by halves in the line of their org.

export interface Waiting<T> {
  readonly org: string;
  readonly id: string;
  /** Of the org; at least 0.01. */
  readonly weight: number;
  /** When it began to wait, on the owner's clock; before it came here where it had waited elsewhere. */
  readonly sinceMs: number;
  readonly value: T;
}

interface Entry<T> {
  readonly id: string;
  readonly sinceMs: number;
  /** Breaks ties: the order of coming. */
  readonly n: number;
  readonly value: T;
}

interface Line<T> {
  readonly org: string;
  weight: number;
  deficit: number;
  /** In order of `sinceMs`, then `n`. */
  readonly entries: Entry<T>[];
  readonly byId: Map<string, Entry<T>>;
}

const WEIGHT_MIN = 0.01;

/** Waiters of one shard (DESIGN 6.4). Pure: the same calls in the same order give the same answers. */
export class FairQueue<T> {
  #max: number;
  /** An org that has nobody waiting has no line. */
  readonly #lines = new Map<string, Line<T>>();
  #size = 0;
  #added = 0;
  /** The orgs of this round in order of their turns, and whose turn it is. A line that has emptied is passed over. */
  #round: readonly Line<T>[] = [];
  #turn = -1;
  /** What a turn of this round saves up, in weights: so much that at least one org may take. */
  #quantum = 1;

  constructor(options: { readonly max: number }) {
    this.#max = options.max;
  }

  /** Another bound from now on; who waits already stays. */
  resize(max: number): void {
    this.#max = max;
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
  add({ org, id, weight, sinceMs, value }: Waiting<T>): boolean {
    if (this.#size >= this.#max) return false;
    const line = this.#lines.get(org) ?? { org, weight, deficit: 0, entries: [], byId: new Map<string, Entry<T>>() };
    if (line.byId.has(id)) return false;
    // Whatever is not a number as well: a turn that saves up nothing would never end.
    line.weight = weight >= WEIGHT_MIN ? weight : WEIGHT_MIN;
    const entry = { id, sinceMs, n: this.#added, value };
    this.#added += 1;
    line.entries.splice(placeOf(line.entries, entry), 0, entry);
    line.byId.set(id, entry);
    this.#lines.set(org, line);
    this.#size += 1;
    return true;
  }

  /** The next in turn. */
  take(): T | undefined {
    if (this.#size === 0) return undefined;
    for (;;) {
      const line = this.#round[this.#turn];
      const first = line?.entries[0];
      if (line !== undefined && first !== undefined && line.deficit >= 1) {
        line.deficit -= 1;
        return this.remove(line.org, first.id);
      }
      this.#nextTurn();
    }
  }

  remove(org: string, id: string): T | undefined {
    const line = this.#lines.get(org);
    const entry = line?.byId.get(id);
    if (line === undefined || entry === undefined) return undefined;
    line.byId.delete(id);
    line.entries.splice(placeOf(line.entries, entry), 1);
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
    let oldest: Entry<T> | undefined;
    for (const { entries } of this.#lines.values()) {
      const [first] = entries;
      if (first !== undefined && (oldest === undefined || first.sinceMs < oldest.sinceMs)) oldest = first;
    }
    return oldest?.value;
  }

  /**
   * Its place, from 1, if nobody came or left: an estimate from whole rounds, off by at most one turn of each org.
   * Costs a look at every org that waits.
   */
  position(org: string, id: string): number | undefined {
    const line = this.#lines.get(org);
    const entry = line?.byId.get(id);
    if (line === undefined || entry === undefined) return undefined;
    const rank = placeOf(line.entries, entry);
    const rounds = Math.floor(rank / line.weight);
    let before = rank;
    for (const other of this.#lines.values()) {
      if (other === line) continue;
      const turns = isOlder(other, line) ? rounds + 1 : rounds;
      before += Math.min(other.entries.length, Math.floor(turns * other.weight));
    }
    return before + 1;
  }

  #nextTurn(): void {
    this.#turn += 1;
    if (this.#turn >= this.#round.length) {
      this.#round = [...this.#lines.values()].sort((a, b) => (isOlder(a, b) ? -1 : 1));
      this.#turn = 0;
      const rounds = this.#round.reduce((least, { deficit, weight }) => Math.min(least, (1 - deficit) / weight), Number.POSITIVE_INFINITY);
      this.#quantum = Math.max(1, Math.ceil(rounds));
    }
    const line = this.#round[this.#turn];
    if (line !== undefined) line.deficit += this.#quantum * line.weight;
  }
}

function isBefore(a: Entry<unknown>, b: Entry<unknown>): boolean {
  return a.sinceMs < b.sinceMs || (a.sinceMs === b.sinceMs && a.n < b.n);
}

/** Whether the first of one line has waited longer than the first of another. */
function isOlder(a: Line<unknown>, b: Line<unknown>): boolean {
  const [firstOfA] = a.entries;
  const [firstOfB] = b.entries;
  return firstOfA !== undefined && firstOfB !== undefined && isBefore(firstOfA, firstOfB);
}

/** Where an entry is in a line, or belongs; the newest, which is the usual one to come, without a search. */
function placeOf(entries: readonly Entry<unknown>[], entry: Entry<unknown>): number {
  const last = entries.at(-1);
  if (last === undefined || isBefore(last, entry)) return entries.length;
  let from = 0;
  let to = entries.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const at = entries[middle];
    if (at !== undefined && isBefore(at, entry)) from = middle + 1;
    else to = middle;
  }
  return from;
}
