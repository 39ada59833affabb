// Replicas of two record versions. A replica of version 2 writes `"v":2` and reads 1 and 2; one of version 1 meets `"v":2`
// as a version that it does not know. The product knows one version, so the newer one is the same records under another number.
import type { JournalMessage } from '@muster/ports';

const HEAD = '{"v":';

function versionOf(data: Uint8Array): number {
  return (data[HEAD.length] ?? 0) - 48;
}

function withVersion(data: Uint8Array, version: number): Uint8Array {
  const changed = Uint8Array.from(data);
  changed[HEAD.length] = 48 + version;
  return changed;
}

/** What is stored of a record that a replica of `version` writes. */
export function toStored(written: Uint8Array, version: number): Uint8Array {
  return version === 1 ? written : withVersion(written, version);
}

/** The record as a replica of `version` reads it. */
export function toWritten(message: JournalMessage, version: number): JournalMessage {
  const stored = versionOf(message.data);
  return version > 1 && stored > 1 && stored <= version ? { ...message, data: withVersion(message.data, 1) } : message;
}

function isBeat(subject: string): boolean {
  return subject.startsWith('muster.v1.replica.');
}

/** The beat that a replica of `version` sends: it says which records it writes. */
export function beatOf(subject: string, data: Uint8Array, version: number): Uint8Array {
  return version > 1 && isBeat(subject) ? withVersion(data, version) : data;
}

/** A beat as a replica of `version` reads it. */
export function readBeat(subject: string, data: Uint8Array, version: number): Uint8Array {
  return version > 1 && isBeat(subject) ? withVersion(data, 1) : data;
}
