// The fold of a shard's journal: records in, the state out.
//
// Owns: the stored records of one shard. Total and deterministic: no clock, no machine is run.
//   F1. A record is replaced as a whole and never changed in place: who holds one may keep it.
//   F2. Iteration is in order of insertion; a record that was deleted and set again is the newest.
//   F3. Of a kind that is retained only the newest are kept, at every step: two folds of one journal are equal.
import { isDeepStrictEqual } from 'node:util';
import type { StoredRecord } from '../contract.ts';
import type { SetOp } from './record.ts';
import { RecordTable } from './record-table.ts';
import type { SharedRecords } from './shared-records.ts';

/** How stored values become typed ones; absent kinds stay as they are. */
export type Parsers = ReadonlyMap<string, (value: unknown) => unknown>;

/** The committed state of one shard. */
export class Store {
  readonly #kinds = new Map<string, RecordTable<StoredRecord>>();
  readonly #shared: SharedRecords | undefined;
  #retain: Readonly<Record<string, number>> = {};
  #parsers: Parsers = new Map();

  constructor(shared?: SharedRecords) {
    this.#shared = shared;
  }

  get retain(): Readonly<Record<string, number>> {
    return this.#retain;
  }

  /** What is kept from now on; drops what is beyond it. */
  setRetain(retain: Readonly<Record<string, number>>): void {
    this.#retain = retain;
    for (const [kind, records] of this.#kinds) records.retain(retain[kind]);
  }

  /** Values are parsed from now on; those that are here as well, where their kind had no parser. @throws what a parser throws */
  setParsers(parsers: Parsers): void {
    const before = this.#parsers;
    this.#parsers = parsers;
    for (const [kind, records] of this.#kinds) {
      const parse = parsers.get(kind);
      if (parse === undefined || before.has(kind)) continue;
      for (const [id, record] of records.entries()) records.set(id, { ...record, value: parse(record.value) });
    }
  }

  /** Applies the changes of one record. @throws what a parser throws */
  apply(set: readonly SetOp[], timeMs: number): void {
    for (const op of set) {
      const [kind, id, value] = op;
      const records = this.#table(kind);
      if (value === null) {
        records.delete(id);
        continue;
      }
      const before = records.get(id);
      const after = this.#shared?.folded(op, before) ?? this.#folded(op, before, timeMs);
      records.set(id, after);
    }
  }

  #folded(op: SetOp, before: StoredRecord | undefined, timeMs: number): StoredRecord {
    const [kind, id, value] = op;
    const parsed = this.#parse(kind, value);
    const isSameState = before !== undefined && isSame(stateOf(before.value), stateOf(parsed));
    const after: StoredRecord = {
      kind,
      id,
      value: parsed,
      version: (before?.version ?? 0) + 1,
      changedAtMs: timeMs,
      stateSinceMs: isSameState ? before.stateSinceMs : timeMs,
    };
    this.#shared?.keep(op, before, after);
    return after;
  }

  /** Puts a record of a snapshot in its place. @throws what a parser throws */
  load(record: StoredRecord): void {
    this.#table(record.kind).set(record.id, { ...record, value: this.#parse(record.kind, record.value) });
  }

  clear(): void {
    this.#kinds.clear();
    this.#retain = {};
  }

  get(kind: string, id: string): StoredRecord | undefined {
    return this.#kinds.get(kind)?.get(id);
  }

  count(kind: string): number {
    return this.#kinds.get(kind)?.size ?? 0;
  }

  /** In order of insertion. */
  records(kind: string): Iterable<StoredRecord> {
    return this.#kinds.get(kind)?.values() ?? [];
  }

  kinds(): Iterable<string> {
    return this.#kinds.keys();
  }

  /** All records as of now, in an order that `load` keeps: what a snapshot is made of while the store goes on. */
  capture(): readonly StoredRecord[] {
    const captured: StoredRecord[] = [];
    for (const records of this.#kinds.values()) for (const record of records.values()) captured.push(record);
    return captured;
  }

  #table(kind: string): RecordTable<StoredRecord> {
    const found = this.#kinds.get(kind);
    if (found !== undefined) return found;
    const table = new RecordTable<StoredRecord>();
    table.retain(this.#retain[kind]);
    this.#kinds.set(kind, table);
    return table;
  }

  #parse(kind: string, value: unknown): unknown {
    const parse = this.#parsers.get(kind);
    return parse === undefined ? value : parse(value);
  }
}

function stateOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (value as { readonly state?: unknown }).state : undefined;
}

function isSame(one: unknown, other: unknown): boolean {
  return one === other || (typeof one === 'object' && isDeepStrictEqual(one, other));
}
