// The state of a shard as bytes: frames of JSON lines, each compressed for itself, so that no step holds up the loop.
import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { StoredRecord } from '../contract.ts';
import { isTimedSet, type TimedSet } from './record.ts';

/** Text of one frame, characters: some 5 ms to compress. */
export const FRAME_CHARACTERS = 128 * 1024;

/** Records or changes as text, in slices of about a frame. */
export function* frameTexts(items: Iterable<unknown>): Generator<string> {
  let lines: string[] = [];
  let length = 0;
  for (const item of items) {
    const line = JSON.stringify(item);
    lines.push(line);
    length += line.length;
    if (length >= FRAME_CHARACTERS) {
      yield lines.join('\n');
      lines = [];
      length = 0;
    }
  }
  if (lines.length > 0) yield lines.join('\n');
}

export function compress(text: string): Uint8Array {
  return deflateRawSync(Buffer.from(text), { level: 1 });
}

/** @throws Error where it is not a frame */
export function decompress(frame: Uint8Array): readonly unknown[] {
  const text = inflateRawSync(frame).toString('utf8');
  return text.split('\n').map((line) => JSON.parse(line) as unknown);
}

/** A stored record as a line of a frame. */
export function toLine(record: StoredRecord): readonly unknown[] {
  return [record.kind, record.id, record.value, record.version, record.changedAtMs, record.stateSinceMs];
}

/** @throws Error where it is not one */
export function parseLine(line: unknown): StoredRecord {
  if (!Array.isArray(line) || line.length !== 6) throw new Error('not a line of a snapshot');
  const [kind, id, value, version, changedAtMs, stateSinceMs] = line as readonly unknown[];
  if (typeof kind !== 'string' || typeof id !== 'string' || typeof version !== 'number') throw new Error('not a line of a snapshot');
  if (typeof changedAtMs !== 'number' || typeof stateSinceMs !== 'number') throw new Error('not a line of a snapshot');
  return { kind, id, value, version, changedAtMs, stateSinceMs };
}

/** @throws Error where it is not one */
export function parseTimedSet(line: unknown): TimedSet {
  if (!isTimedSet(line)) throw new Error('not the changes of a record');
  return line;
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
