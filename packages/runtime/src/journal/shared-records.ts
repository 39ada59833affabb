// What the replicas of one process read of the same journals: each record is decoded once, each folded value made once.
//
// For simulations of many replicas; one replica alone has no use for it. What is shared is immutable (F1), so nobody can
// tell. It wants that all replicas get the same message objects and define the same shards.
//   D1. A value is shared only between those for whom the record before it is the very same one.
import type { JournalMessage } from '@muster/ports';
import type { StoredRecord } from '../contract.ts';
import { parseRecord, type SetOp } from './record.ts';

/** Who is further behind than this decodes for itself. */
const READ_MAX = 2_000;

/** Given to several replicas of one process (`RuntimeOptions.shared`): they hold each stored record once. */
export class SharedRecords {
  readonly #read = new Map<JournalMessage, ReturnType<typeof parseRecord>>();
  readonly #folded = new WeakMap<SetOp, { readonly before: StoredRecord | undefined; readonly after: StoredRecord }>();
  #decoded = 0;

  /** Records that were decoded so far. */
  get decoded(): number {
    return this.#decoded;
  }

  /** @throws what `parseRecord` throws */
  read(message: JournalMessage): ReturnType<typeof parseRecord> {
    const known = this.#read.get(message);
    if (known !== undefined) return known;
    const read = parseRecord(message);
    this.#decoded += 1;
    this.#read.set(message, read);
    if (this.#read.size > READ_MAX) for (const oldest of this.#read.keys()) if (this.#read.delete(oldest)) break;
    return read;
  }

  /** What another replica made of this change; undefined where it had another record before it, or none has yet. */
  folded(op: SetOp, before: StoredRecord | undefined): StoredRecord | undefined {
    const known = this.#folded.get(op);
    return known !== undefined && known.before === before ? known.after : undefined;
  }

  keep(op: SetOp, before: StoredRecord | undefined, after: StoredRecord): void {
    this.#folded.set(op, { before, after });
  }
}
