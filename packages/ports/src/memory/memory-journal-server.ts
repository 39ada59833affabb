// The stream of one simulated cluster: what nats-server keeps.
//
//   S1. A record lands only where `expectedSeq` is the last position of its shard: honest compare-and-set.
//   S2. One sequence for the whole stream, parts included; it never goes down but by `loseTail` and `recreate`.
//   S3. A rollup removes the older records of its shard in the same step in which it lands.
import type { Clock } from '../clock.ts';
import type { AppendOutcome, JournalMessage } from '../journal.ts';

interface Part {
  readonly seq: number;
  readonly data: Uint8Array;
}

/** Shared by the `MemoryJournal`s of all simulated processes. */
export class MemoryJournalServer {
  readonly recordBytesMax: number;
  readonly #clock: Clock;
  /** In order of sequence; what was rolled up stays as a hole until holes are half of it. */
  #log: (JournalMessage | undefined)[] = [];
  #logSeqs: number[] = [];
  #holes = 0;
  #lastSeq = 0;
  #generation = 0;
  readonly #shards = new Map<string, JournalMessage[]>();
  readonly #parts = new Map<string, Map<string, Part>>();
  readonly #listeners = new Set<() => void>();

  constructor(options: { readonly clock: Clock; readonly recordBytesMax?: number }) {
    this.#clock = options.clock;
    this.recordBytesMax = options.recordBytesMax ?? 1024 * 1024 - 512;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Counts how often the stream was made anew. */
  get generation(): number {
    return this.#generation;
  }

  append(shard: string, data: Uint8Array, expectedSeq: number, isRollup: boolean): AppendOutcome {
    if (data.length > this.recordBytesMax) {
      return { kind: 'not-stored', reason: 'limit', message: `${data.length} bytes, the limit is ${this.recordBytesMax}` };
    }
    const records = this.#shards.get(shard) ?? [];
    if ((records.at(-1)?.seq ?? 0) !== expectedSeq) return { kind: 'conflict' };
    const message: JournalMessage = { shard, seq: ++this.#lastSeq, timeMs: this.#clock.wallMs(), data };
    if (isRollup) this.#remove(records.splice(0));
    records.push(message);
    this.#shards.set(shard, records);
    this.#log.push(message);
    this.#logSeqs.push(message.seq);
    for (const listener of Array.from(this.#listeners)) listener();
    return { kind: 'stored', seq: message.seq };
  }

  last(shard: string): JournalMessage | undefined {
    return this.#shards.get(shard)?.at(-1);
  }

  next(shard: string, fromSeq: number): JournalMessage | undefined {
    return this.#shards.get(shard)?.find((message) => message.seq >= fromSeq);
  }

  /** The stored records of a shard, oldest first. */
  records(shard: string): readonly JournalMessage[] {
    return this.#shards.get(shard) ?? [];
  }

  /** At most `max` stored records of all shards with a sequence above `seq`, in order. */
  after(seq: number, max: number): readonly JournalMessage[] {
    const found: JournalMessage[] = [];
    for (let at = this.#indexAfter(seq); at < this.#log.length && found.length < max; at++) {
      const message = this.#log[at];
      if (message !== undefined) found.push(message);
    }
    return found;
  }

  putPart(shard: string, part: string, data: Uint8Array): void {
    const parts = this.#parts.get(shard) ?? new Map<string, Part>();
    this.#parts.set(shard, parts.set(part, { seq: ++this.#lastSeq, data }));
  }

  getPart(shard: string, part: string): Uint8Array | undefined {
    return this.#parts.get(shard)?.get(part)?.data;
  }

  deletePart(shard: string, part: string): void {
    this.#parts.get(shard)?.delete(part);
  }

  listParts(shard: string): readonly string[] {
    return [...(this.#parts.get(shard)?.keys() ?? [])];
  }

  /** Loses all that was stored after `seq`, as a power failure does to a server that does not sync: what a rollup removed stays lost. */
  loseTail(seq: number): void {
    const isLost = (at: number): boolean => at > seq;
    for (const [shard, records] of this.#shards)
      this.#shards.set(
        shard,
        records.filter((message) => !isLost(message.seq)),
      );
    for (const parts of this.#parts.values()) {
      for (const [name, part] of parts) if (isLost(part.seq)) parts.delete(name);
    }
    const keep = this.#indexAfter(seq);
    this.#log.length = keep;
    this.#logSeqs.length = keep;
    this.#lastSeq = Math.min(this.#lastSeq, seq);
    for (const listener of Array.from(this.#listeners)) listener();
  }

  /** Deletes everything; the sequence starts at 1 again. */
  recreate(): void {
    this.#generation += 1;
    this.#shards.clear();
    this.#parts.clear();
    this.#log = [];
    this.#logSeqs = [];
    this.#holes = 0;
    this.#lastSeq = 0;
    for (const listener of Array.from(this.#listeners)) listener();
  }

  /** Calls back whenever something changed. */
  onChange(listener: () => void): { unsubscribe(): void } {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  #remove(messages: readonly JournalMessage[]): void {
    for (const { seq } of messages) {
      const at = this.#indexAfter(seq - 1);
      if (this.#logSeqs[at] === seq) this.#log[at] = undefined;
    }
    this.#holes += messages.length;
    if (this.#holes * 2 > this.#log.length) {
      this.#log = this.#log.filter((message) => message !== undefined);
      this.#logSeqs = this.#log.map((message) => (message as JournalMessage).seq);
      this.#holes = 0;
    }
  }

  /** Index of the first entry above `seq`. */
  #indexAfter(seq: number): number {
    let low = 0;
    let high = this.#logSeqs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#logSeqs[middle] as number) > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
