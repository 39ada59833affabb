// The wire form of a record: one JSON line; a snapshot has its compressed state behind that line.
//
//   R1. A record names the one before it (`prev`), so that a reader knows whether it has seen everything.
//   R2. What cannot be read is never skipped: another version is `UnknownRecordVersion`, anything else `journal-damaged`
//       with the sequence.
//   R3. What a reader must know to fold (what is retained of each kind) is in the epoch and snapshot records, so that
//       replicas which do not know a shard's definition hold the same records as those that do.
import type { JournalMessage } from '@muster/ports';
import { MusterError } from '@muster/protocol';

/** The version of the records that this process writes, and the only one that it reads. */
export const RECORD_VERSION = 1;

/** A change of one record of a shard; null deletes it. */
export type SetOp = readonly [kind: string, id: string, value: unknown];

export type RecordType = 'ops' | 'epoch' | 'handover' | 'snapshot' | 'confirm';
const TYPES: ReadonlySet<unknown> = new Set<RecordType>(['ops', 'epoch', 'handover', 'snapshot', 'confirm']);

/** An immutable part of a snapshot, as the rollup record names it. */
export interface PartRef {
  readonly name: string;
  readonly sha256: string;
}

/** What a snapshot record says of the state that it carries. */
export interface SnapshotHead {
  /** The state as of `at`: behind this line in frames of these lengths, or in these parts. */
  readonly at: number;
  readonly frames?: readonly number[];
  readonly parts?: readonly PartRef[];
  /** Changes since `at`: first those in these parts, then these. */
  readonly deltas?: readonly PartRef[];
  readonly rest: readonly TimedSet[];
  /** All of it, bytes: what the next one is measured by. */
  readonly bytes: number;
}

/** The changes of one record with its time stamp. */
export type TimedSet = readonly [timeMs: number, set: readonly SetOp[]];

export interface JournalRecord {
  /** Random per process start. */
  readonly by: string;
  readonly epoch: number;
  /** This record's own id, unique. */
  readonly op: string;
  /** The id of the record before; empty in the first of all. */
  readonly prev: string;
  readonly type: RecordType;
  readonly set: readonly SetOp[];
  /** Epoch and snapshot: the owner. */
  readonly replica: string | undefined;
  /** Epoch and snapshot: how many records of a kind are kept. */
  readonly retain: Readonly<Record<string, number>> | undefined;
  /** Handover: for whom the silence is waived. */
  readonly to: string | undefined;
  readonly snapshot: SnapshotHead | undefined;
}

/** A record of a version that this process does not know: it stops following the shard. */
export class UnknownRecordVersion extends Error {
  readonly version: unknown;
  constructor(shard: string, seq: number, version: unknown) {
    super(`${shard}: the record at ${seq} has version ${String(version)}, known is ${RECORD_VERSION}`);
    this.name = 'UnknownRecordVersion';
    this.version = version;
  }
}

const OP_ID = /^[\w-]{1,64}$/;
const NEWLINE = 10;
const NOTHING: readonly SetOp[] = [];

/** The start of a record, up to what its type adds. */
export function recordHead(record: {
  readonly by: string;
  readonly epoch: number;
  readonly op: string;
  readonly prev: string;
  readonly type: RecordType;
}): string {
  return `{"v":${RECORD_VERSION},"by":"${record.by}","epoch":${record.epoch},"op":"${record.op}","prev":"${record.prev}","type":"${record.type}"`;
}

/** Bytes of a record whose changes are JSON already (so that each is written once, however often it is measured). */
export function encodeRecord(head: string, extra: string, setJson: string): Uint8Array {
  return Buffer.from(setJson === '' ? `${head}${extra}}` : `${head}${extra},"set":[${setJson}]}`);
}

/** Bytes of a record with something behind its line. */
export function encodeRecordWithBody(head: string, extra: string, body: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Buffer.from(`${head}${extra}}\n`), ...body]);
}

/**
 * Reads a record; `body` is what lies behind its line.
 * @throws UnknownRecordVersion
 * @throws MusterError `journal-damaged`
 */
export function parseRecord(message: JournalMessage): { readonly record: JournalRecord; readonly body: Uint8Array } {
  const bytes = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength);
  const newlineAt = bytes.indexOf(NEWLINE);
  const end = newlineAt < 0 ? bytes.length : newlineAt;
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes.subarray(0, end)));
  } catch (cause) {
    throw damaged(message, 'is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw damaged(message, 'is not an object');
  const fields = value as Record<string, unknown>;
  if (fields.v !== RECORD_VERSION) throw new UnknownRecordVersion(message.shard, message.seq, fields.v);
  const { by, epoch, op, prev, type, set = NOTHING, replica, retain, to, snapshot } = fields;
  if (typeof by !== 'string' || typeof op !== 'string' || typeof prev !== 'string') throw damaged(message, 'has no by, op or prev');
  // The next record names it, and is written without looking at it.
  if (!OP_ID.test(op)) throw damaged(message, 'has an op that is no id');
  if (!Number.isSafeInteger(epoch) || !TYPES.has(type)) throw damaged(message, 'has no epoch or no known type');
  if (!isSet(set)) throw damaged(message, 'has changes that are none');
  if (type === 'epoch' && (typeof replica !== 'string' || !isRetain(retain))) throw damaged(message, 'names no owner');
  if (type === 'snapshot' && (typeof replica !== 'string' || !isRetain(retain) || !isSnapshotHead(snapshot))) {
    throw damaged(message, 'is no snapshot');
  }
  return {
    record: {
      by,
      epoch: epoch as number,
      op,
      prev,
      type: type as RecordType,
      set,
      replica: typeof replica === 'string' ? replica : undefined,
      retain: isRetain(retain) ? retain : undefined,
      to: typeof to === 'string' ? to : undefined,
      snapshot: type === 'snapshot' ? (snapshot as SnapshotHead) : undefined,
    },
    body: newlineAt < 0 ? bytes.subarray(bytes.length) : bytes.subarray(newlineAt + 1),
  };
}

const strict = new TextDecoder('utf-8', { fatal: true });

/** The fast way puts a sign in the place of what is no text, and would let damage inside of a word pass. @throws TypeError */
function textOf(line: Buffer): string {
  const text = line.toString('utf8');
  return text.includes('\uFFFD') ? strict.decode(line) : text;
}

/** The error of a record that cannot be read. */
export function damaged(at: { readonly shard: string; readonly seq: number }, said: string, cause?: unknown): MusterError {
  return new MusterError('journal-damaged', `${at.shard}: the record at ${at.seq} ${said}`, { cause });
}

/** True for a list of changes. */
export function isSet(value: unknown): value is readonly SetOp[] {
  if (!Array.isArray(value)) return false;
  for (const op of value as unknown[]) {
    if (!Array.isArray(op) || op.length !== 3 || typeof op[0] !== 'string' || typeof op[1] !== 'string') return false;
  }
  return true;
}

function isRetain(value: unknown): value is Readonly<Record<string, number>> {
  return typeof value === 'object' && value !== null && Object.values(value).every((count) => Number.isInteger(count) && count >= 0);
}

function isSnapshotHead(value: unknown): value is SnapshotHead {
  if (typeof value !== 'object' || value === null) return false;
  const { at, frames, parts, deltas = [], rest, bytes } = value as Record<string, unknown>;
  if (typeof at !== 'number' || typeof bytes !== 'number') return false;
  const hasFrames = Array.isArray(frames) && frames.every((length) => Number.isInteger(length));
  if (!hasFrames && !isParts(parts)) return false;
  return isParts(deltas) && Array.isArray(rest) && rest.every(isTimedSet);
}

function isParts(value: unknown): value is readonly PartRef[] {
  return Array.isArray(value) && value.every((part: unknown) => isPart(part));
}

function isPart(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, sha256 } = value as Record<string, unknown>;
  return typeof name === 'string' && typeof sha256 === 'string';
}

/** True for the changes of one record with its time stamp. */
export function isTimedSet(value: unknown): value is TimedSet {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'number' && isSet(value[1]);
}
