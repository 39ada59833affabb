// What this replica knows of one shard by following its journal.
//
//   H1. It holds the fold of a prefix of the journal, whole records only, or nothing.
//   H2. It advances by a record only where that names the one before (`prev`), or is a snapshot.
import type { RecordKind, Shadow, StoredRecord } from '../contract.ts';
import type { JournalRecord, TimedSet } from './record.ts';
import type { Store } from './store.ts';

/** Why a shadow does not go on. */
export type Stopped = 'unknown-version' | 'damaged';

/** Changes since a snapshot was begun; `bytes` is at least what they take as JSON. */
export interface Recorder {
  changes: TimedSet[];
  bytes: number;
}

export class ShadowShard implements Shadow {
  readonly shard: string;
  store: Store;
  owner: string | undefined;
  /** Random id of the process that wrote the last record. */
  by = '';
  epoch = 0;
  seq = 0;
  op = '';
  /** For whom the owner has left, where the last word was a handover. */
  handedTo: string | undefined;
  stopped: Stopped | undefined;
  /** A snapshot in parts is being read. */
  isLoading = false;
  /** Since the last snapshot, and of it. */
  bytesSince = 0;
  snapshotBytes = 0;
  /** Parts that the last snapshot names. */
  partNames: readonly string[] = [];
  /** Collects the changes from now on, where somebody makes a snapshot. */
  recorder: Recorder | undefined;

  constructor(shard: string, store: Store) {
    this.shard = shard;
    this.store = store;
  }

  get<T>(kind: RecordKind<T>, id: string): StoredRecord<T> | undefined {
    return this.store.get(kind.kind, id) as StoredRecord<T> | undefined;
  }

  list<T>(kind: RecordKind<T>): Iterable<StoredRecord<T>> {
    return this.store.records(kind.kind) as Iterable<StoredRecord<T>>;
  }

  count(kind: RecordKind): number {
    return this.store.count(kind.kind);
  }

  /** True where the record is the next one. */
  isNext(record: JournalRecord): boolean {
    return record.prev === this.op;
  }

  /** @throws what a parser throws */
  advance(record: JournalRecord, seq: number, timeMs: number, bytes: number): void {
    if (record.set.length > 0) {
      this.store.apply(record.set, timeMs);
      this.recorder?.changes.push([timeMs, record.set]);
      if (this.recorder !== undefined) this.recorder.bytes += bytes;
    }
    if (record.retain !== undefined) this.store.setRetain(record.retain);
    if (record.replica !== undefined) this.owner = record.replica;
    if (record.type === 'snapshot') {
      this.bytesSince = 0;
      this.snapshotBytes = record.snapshot?.bytes ?? 0;
      const { parts = [], deltas = [] } = record.snapshot ?? {};
      this.partNames = [...parts, ...deltas].map((part) => part.name);
    } else {
      this.bytesSince += bytes;
    }
    this.handedTo = record.type === 'handover' ? record.to : undefined;
    this.by = record.by;
    this.epoch = record.epoch;
    this.seq = seq;
    this.op = record.op;
  }

  clear(): void {
    this.store.clear();
    this.owner = undefined;
    this.by = '';
    this.epoch = 0;
    this.seq = 0;
    this.op = '';
    this.handedTo = undefined;
    this.stopped = undefined;
    this.isLoading = false;
    this.bytesSince = 0;
    this.snapshotBytes = 0;
    this.partNames = [];
    this.recorder = undefined;
  }
}
