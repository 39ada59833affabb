// Reads the state that a snapshot record carries or names.
import type { Journal } from '@muster/ports';
import type { PartRef, SnapshotHead } from './record.ts';
import { decompress, parseLine, parseTimedSet, sha256 } from './snapshot-codec.ts';
import type { Store } from './store.ts';

/** A part is not there any more (a newer snapshot replaced it), or is not what the record says. */
export class SnapshotPartMissing extends Error {
  constructor(shard: string, part: string, said: string) {
    super(`${shard}: part ${part} of a snapshot ${said}`);
    this.name = 'SnapshotPartMissing';
  }
}

/** True where everything lies in the record itself. */
export function isInline(head: SnapshotHead): boolean {
  return head.frames !== undefined && (head.deltas ?? []).length === 0;
}

/** Loads a snapshot that lies in its record. @throws Error where that is damaged, and what a parser throws */
export function loadInline(head: SnapshotHead, body: Uint8Array, store: Store): void {
  let at = 0;
  for (const length of head.frames ?? []) {
    for (const line of decompress(body.subarray(at, at + length))) store.load(parseLine(line));
    at += length;
  }
  for (const [timeMs, set] of head.rest) store.apply(set, timeMs);
}

/**
 * Loads a snapshot whose state lies in parts (in its record, only the frames may).
 * @throws SnapshotPartMissing, MusterError `journal-unavailable`
 */
export async function loadParts(journal: Journal, shard: string, head: SnapshotHead, body: Uint8Array, store: Store): Promise<void> {
  let at = 0;
  for (const length of head.frames ?? []) {
    for (const line of decompress(body.subarray(at, at + length))) store.load(parseLine(line));
    at += length;
  }
  for (const part of head.parts ?? []) for (const line of await readPart(journal, shard, part)) store.load(parseLine(line));
  for (const part of head.deltas ?? []) {
    for (const line of await readPart(journal, shard, part)) {
      const [timeMs, set] = parseTimedSet(line);
      store.apply(set, timeMs);
    }
  }
  for (const [timeMs, set] of head.rest) store.apply(set, timeMs);
}

/** A part is a list of frames, each behind its length. */
async function readPart(journal: Journal, shard: string, part: PartRef): Promise<readonly unknown[]> {
  const data = await journal.getPart(shard, part.name);
  if (data === undefined) throw new SnapshotPartMissing(shard, part.name, 'is not there');
  if (sha256(data) !== part.sha256) throw new SnapshotPartMissing(shard, part.name, 'has another hash');
  const lines: unknown[] = [];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at < data.length; ) {
    const length = view.getUint32(at);
    for (const line of decompress(data.subarray(at + 4, at + 4 + length))) lines.push(line);
    at += 4 + length;
  }
  return lines;
}
