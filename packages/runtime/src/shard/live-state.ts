// The state that the owner of a shard decides on: what is committed, with everything decided since on top.
//
//   V1. Changes of a turn are staged, and become part of the state when the turn ends, or vanish when it fails.
//   V2. What a turn iterates does not move under it, whatever it changes meanwhile.
//   V3. Order and retention are those of `Store`: the records of this state are those which followers will have.
import type { SetOp } from '../journal/record.ts';
import { RecordTable } from '../journal/record-table.ts';
import type { Store } from '../journal/store.ts';

interface Staged {
  /** Null: deleted. */
  value: unknown;
  /** Its place among the changes of the turn. */
  at: number;
  /** It was there before the turn, and still stands at its old place. */
  isInPlace: boolean;
}

const NO_RECORDS = new RecordTable<unknown>();

export class LiveState {
  readonly #kinds = new Map<string, RecordTable<unknown>>();
  readonly #retain: Readonly<Record<string, number>>;
  #staged = new Map<string, Map<string, Staged>>();
  #ops: SetOp[] = [];

  constructor(store: Store, retain: Readonly<Record<string, number>>) {
    this.#retain = retain;
    for (const kind of store.kinds()) {
      const records = this.#table(kind);
      for (const { id, value } of store.records(kind)) records.set(id, value);
    }
  }

  /** Undefined where there is none. */
  get(kind: string, id: string): unknown {
    const staged = this.#staged.get(kind)?.get(id);
    if (staged !== undefined) return staged.value ?? undefined;
    return this.#kinds.get(kind)?.get(id);
  }

  /** @throws Error for a value that is no object (a defect) */
  set(kind: string, id: string, value: unknown): void {
    if (typeof value !== 'object' || value === null) throw new Error(`${kind}/${id}: a record is an object, not ${String(value)}`);
    const staged = this.#staged.get(kind)?.get(id);
    if (staged === undefined) {
      this.#stage(kind, id, { value, at: this.#ops.length, isInPlace: this.#kinds.get(kind)?.has(id) === true });
      this.#ops.push([kind, id, value]);
    } else if (staged.value === null) {
      // Deleted before in this turn: it comes back as the newest.
      Object.assign(staged, { value, at: this.#ops.length, isInPlace: false });
      this.#ops.push([kind, id, value]);
    } else {
      staged.value = value;
      this.#ops[staged.at] = [kind, id, value];
    }
  }

  delete(kind: string, id: string): void {
    if (this.get(kind, id) === undefined) return;
    const staged = this.#staged.get(kind)?.get(id);
    if (staged === undefined) {
      this.#stage(kind, id, { value: null, at: this.#ops.length, isInPlace: true });
      this.#ops.push([kind, id, null]);
    } else {
      staged.value = null;
      this.#ops[staged.at] = [kind, id, null];
    }
  }

  *list(kind: string): Iterable<readonly [id: string, value: unknown]> {
    const records = this.#kinds.get(kind) ?? NO_RECORDS;
    const stagedNow = this.#staged.get(kind);
    if (stagedNow === undefined) {
      // Staged changes of the turn that come while this runs do not touch `records`.
      yield* records.entries();
      return;
    }
    const added = [...stagedNow].filter(([, staged]) => !staged.isInPlace && staged.value !== null);
    added.sort(([, one], [, other]) => one.at - other.at);
    for (const [id, value] of records.entries()) {
      const staged = stagedNow.get(id);
      if (staged === undefined) yield [id, value];
      else if (staged.isInPlace && staged.value !== null) yield [id, staged.value];
    }
    for (const [id, staged] of added) if (staged.value !== null) yield [id, staged.value];
  }

  count(kind: string): number {
    const records = this.#kinds.get(kind) ?? NO_RECORDS;
    let count = records.size;
    for (const [id, staged] of this.#staged.get(kind) ?? []) {
      const wasThere = records.has(id);
      if (staged.value === null && wasThere) count -= 1;
      else if (staged.value !== null && !wasThere) count += 1;
    }
    return count;
  }

  /** Ends the turn: its changes, in order, are part of the state now. */
  commit(): readonly SetOp[] {
    const ops = this.#ops;
    if (ops.length === 0) return ops;
    this.#ops = [];
    this.#staged = new Map();
    for (const [kind, id, value] of ops) {
      if (value === null) this.#table(kind).delete(id);
      else this.#table(kind).set(id, value);
    }
    return ops;
  }

  /** Ends the turn as if it had not been. */
  abort(): void {
    this.#ops = [];
    this.#staged = new Map();
  }

  /** Changes of the turn so far. */
  get staged(): readonly SetOp[] {
    return this.#ops;
  }

  #stage(kind: string, id: string, staged: Staged): void {
    const records = this.#staged.get(kind);
    if (records === undefined) this.#staged.set(kind, new Map([[id, staged]]));
    else records.set(id, staged);
  }

  #table(kind: string): RecordTable<unknown> {
    const found = this.#kinds.get(kind);
    if (found !== undefined) return found;
    const table = new RecordTable<unknown>();
    table.retain(this.#retain[kind]);
    this.#kinds.set(kind, table);
    return table;
  }
}
