// Writes the snapshots of one owned shard.
//
//   N1. What is written is the shadow's state at one position, with every change since: the fold of the journal so far.
//   N2. The rollup is a record of the chain like any other: conditional, and it is the state up to itself.
//   N3. Parts are immutable and found by their names in a rollup only; those that it replaces go after it is acknowledged.
//   N4. Nothing here holds up the loop for longer than one frame takes to compress.
import type { Clock, Journal, Logger, Random } from '@muster/ports';
import type { Chain } from '../shard/chain.ts';
import { encodeRecordWithBody, type PartRef, type SnapshotHead } from './record.ts';
import type { Recorder, ShadowShard } from './shadow.ts';
import { compress, frameTexts, sha256, toLine } from './snapshot-codec.ts';

export interface SnapshotterOptions {
  readonly replica: string;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly chain: Chain;
  readonly shadow: ShadowShard;
  /** The least bytes between two snapshots. Default 4 MB. */
  readonly bytesMin: number;
}

/** A state that grows faster than it is written is tried so often, then requests wait for the last round. */
const ROUNDS_MAX = 3;
const HOLD_MAX_MS = 200;
const RETRY_MS = 1_000;

class Abandoned extends Error {}

export class Snapshotter {
  readonly #options: SnapshotterOptions;
  #isRunning = false;
  #isCancelled = false;
  #nextAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
  }

  /** After each record: whether it is time. */
  consider(): void {
    const { shadow, bytesMin, clock } = this.#options;
    if (this.#isRunning || shadow.bytesSince <= Math.max(bytesMin, 2 * shadow.snapshotBytes)) return;
    if (clock.monotonicMs() < this.#nextAtMs) return;
    this.#isRunning = true;
    this.#isCancelled = false;
    void this.#write();
  }

  /** Whatever is under way ends without a rollup. */
  cancel(): void {
    this.#isCancelled = true;
  }

  async #write(): Promise<void> {
    const { logger, shadow, clock, chain } = this.#options;
    const written: string[] = [];
    try {
      await this.#snapshot(written);
    } catch (error) {
      this.#nextAtMs = clock.monotonicMs() + RETRY_MS;
      if (!(error instanceof Abandoned)) logger.warn({ shard: shadow.shard, error }, 'a snapshot failed; it is tried again');
      // Nobody names them; if this replica was deposed they are the next owner's orphans.
      if (!chain.isClosed) await this.#deleteParts(written);
    } finally {
      shadow.recorder = undefined;
      this.#isRunning = false;
    }
  }

  async #snapshot(written: string[]): Promise<void> {
    const { journal, shadow, random } = this.#options;
    const { shard } = shadow;
    const half = Math.floor(journal.recordBytesMax / 2);
    // Listed while the epoch is ours (the rollup will prove it): what nobody names then is nobody's.
    const known = await journal.listParts(shard);
    this.#assertGoing();
    const at = shadow.seq;
    const captured = shadow.store.capture();
    const since: Recorder = { changes: [], bytes: 0 };
    shadow.recorder = since;

    const frames: Uint8Array[] = [];
    let bytes = 0;
    let parts: Parts | undefined;
    for (const text of frameTexts(lines(captured))) {
      const frame = compress(text);
      frames.push(frame);
      bytes += frame.length;
      if (bytes > half || parts !== undefined) {
        parts ??= new Parts(journal, shard, `${random.id()}-${at}`, written);
        await parts.add(frames.splice(0));
      }
      await this.#breathe();
    }
    await parts?.flush();
    const stateParts = parts?.take();

    const deltas = new Parts(journal, shard, `${random.id()}-${at}d`, written);
    const room = parts === undefined ? journal.recordBytesMax - bytes : half;
    const limit = Math.max(0, Math.min(half, room - journal.recordBytesMax / 8));
    for (let round = 1, before = Number.POSITIVE_INFINITY; since.bytes > limit; round++) {
      const { bytes: size } = since;
      if (round > ROUNDS_MAX && size >= before) break;
      before = size;
      await this.#delta(deltas, since);
    }
    await this.#rollup({ at, frames, stateParts, deltas, since, limit, bytes: bytes + (parts?.bytes ?? 0) }, known);
  }

  /** Writes the changes so far into parts, and leaves those that come meanwhile. */
  async #delta(deltas: Parts, since: Recorder): Promise<void> {
    const { changes } = since;
    since.changes = [];
    since.bytes = 0;
    for (const text of frameTexts(changes)) {
      await deltas.add([compress(text)]);
      await this.#breathe();
    }
    await deltas.flush();
    this.#assertGoing();
  }

  /** Holds the chain until everything is followed, for a moment, and appends the rollup. */
  async #rollup(
    made: {
      readonly at: number;
      readonly frames: readonly Uint8Array[];
      readonly stateParts: readonly PartRef[] | undefined;
      readonly deltas: Parts;
      readonly since: Recorder;
      readonly limit: number;
      readonly bytes: number;
    },
    known: readonly string[],
  ): Promise<void> {
    const { chain, shadow, clock, replica, logger } = this.#options;
    const replaced = shadow.partNames;
    const untilMs = clock.monotonicMs() + HOLD_MAX_MS;
    chain.hold();
    try {
      while (chain.isFrozen || !chain.isIdle || shadow.seq !== chain.lastSeq || made.since.bytes > made.limit) {
        this.#assertGoing();
        if (clock.monotonicMs() > untilMs) throw new Abandoned();
        if (!chain.isFrozen && chain.isIdle && shadow.seq === chain.lastSeq) await this.#delta(made.deltas, made.since);
        else await this.#pause(1);
      }
      this.#assertGoing();
      const deltas = made.deltas.take();
      const rest = made.since.changes;
      const head: SnapshotHead = {
        at: made.at,
        ...(made.stateParts === undefined ? { frames: made.frames.map((frame) => frame.length) } : { parts: made.stateParts }),
        ...(deltas.length === 0 ? {} : { deltas }),
        rest,
        bytes: made.bytes + made.deltas.bytes + made.since.bytes,
      };
      const { retain } = shadow.store;
      const extra = `,"replica":${JSON.stringify(replica)},"retain":${JSON.stringify(retain)},"snapshot":${JSON.stringify(head)}`;
      await new Promise<void>((resolve, reject) => {
        chain.sendHeld({
          type: 'snapshot',
          isRollup: true,
          encode: (start) => encodeRecordWithBody(start, extra, made.stateParts === undefined ? made.frames : []),
          releases: [{ release: () => resolve(), drop: () => reject(new Abandoned()) }],
        });
      });
      logger.info({ shard: shadow.shard, seq: chain.lastSeq, bytes: head.bytes, parts: made.stateParts?.length ?? 0 }, 'snapshot written');
      const named = new Set([...(made.stateParts ?? []), ...deltas].map((part) => part.name));
      const orphans = known.filter((part) => !named.has(part));
      await this.#deleteParts([...new Set([...replaced, ...orphans])]);
    } finally {
      chain.unhold();
    }
  }

  async #deleteParts(parts: readonly string[]): Promise<void> {
    const { journal, shadow, logger } = this.#options;
    for (const part of parts) {
      try {
        await journal.deletePart(shadow.shard, part);
      } catch (error) {
        logger.debug({ shard: shadow.shard, part, error }, 'a part of an old snapshot stays until the next one');
        return;
      }
    }
  }

  async #breathe(): Promise<void> {
    await this.#pause(0);
    this.#assertGoing();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.setTimer(ms, resolve));
  }

  #assertGoing(): void {
    if (this.#isCancelled || this.#options.chain.isClosed) throw new Abandoned();
  }
}

/** Frames packed into immutable parts, each as large as a record may be. */
class Parts {
  readonly #journal: Journal;
  readonly #shard: string;
  readonly #prefix: string;
  readonly #written: string[];
  readonly #bytesMax: number;
  #frames: Uint8Array[] = [];
  #frameBytes = 0;
  #refs: PartRef[] = [];
  #count = 0;
  bytes = 0;

  constructor(journal: Journal, shard: string, prefix: string, written: string[]) {
    this.#journal = journal;
    this.#shard = shard;
    this.#prefix = prefix;
    this.#written = written;
    this.#bytesMax = Math.floor(journal.recordBytesMax * 0.75);
  }

  async add(frames: readonly Uint8Array[]): Promise<void> {
    for (const frame of frames) {
      if (this.#frameBytes > 0 && this.#frameBytes + frame.length + 4 > this.#bytesMax) await this.flush();
      this.#frames.push(frame);
      this.#frameBytes += frame.length + 4;
    }
  }

  async flush(): Promise<void> {
    if (this.#frames.length === 0) return;
    const data = Buffer.concat(this.#frames.flatMap((frame) => [lengthOf(frame), frame]));
    const name = `${this.#prefix}-${this.#count++}`;
    this.#frames = [];
    this.#frameBytes = 0;
    this.#written.push(name);
    await this.#journal.putPart(this.#shard, name, data);
    this.#refs.push({ name, sha256: sha256(data) });
    this.bytes += data.length;
  }

  take(): readonly PartRef[] {
    return this.#refs;
  }
}

function lengthOf(frame: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return length;
}

function* lines(records: Iterable<Parameters<typeof toLine>[0]>): Generator {
  for (const record of records) yield toLine(record);
}
