// The writer of one shard's journal: what was decided goes in, becomes a record, and is released when it is durable.
//
// Owns: the order of decisions, the one append in flight, and everything that waits for it.
//   W1. At most one append is in flight. Everything decided meanwhile goes into the next record, whole decisions only.
//   W2. Nothing is released before the append behind it was acknowledged, or was found in the journal under its own id.
//   W3. While an outcome is unknown only the very same bytes are sent again, until they are acknowledged or refused by
//       the chain; the shard is frozen.
//   W4. A refusal by the chain (conflict) is final unless the record at that place is ours: deposed, everything dropped.
//   W5. Where this process did not run between sending and releasing, nothing leaves before a later record is acknowledged.
//   W6. When it is closed nothing of it is sent or released any more.
//   W7. Nothing follows a final record (a handover), also where only a later one could say that it was still the last.
//   W8. After the link broke nothing is sent before the record at our place was read and is ours: a NATS that lost writes may
//       have given another's record the same position, which is all that it compares.
import type { AppendOutcome, Clock, Journal, Logger, Random, Timer } from '@muster/ports';
import type { Commit } from '../contract.ts';
import { encodeRecord, parseRecord, type RecordType, recordHead, type SetOp } from '../journal/record.ts';
import type { RuntimeMetrics } from '../metrics.ts';
import type { LoopWatch } from './loop-watch.ts';
import { proveOwnPlace } from './own-place.ts';

/** Something that waits for the journal. */
export interface Release {
  release(commit: ChainCommit): void;
  /** The shard was lost first: the outcome is unknown. */
  drop?(): void;
}

/** An acknowledged append. */
export interface ChainCommit extends Commit {
  /** Which append of this chain it was, from 1. */
  readonly number: number;
  /** `LoopWatch.gaps` when it was sent. */
  readonly gaps: number;
}

/** What one turn decided. */
export interface Decision {
  readonly set: readonly SetOp[];
  /** The same as JSON, without the brackets. */
  readonly setJson: string;
  /** Length of that in bytes. */
  readonly bytes: number;
  readonly releases: readonly Release[];
}

/** A record that is more than a list of decisions: it goes alone. */
export interface SpecialRecord {
  readonly type: RecordType;
  readonly isRollup?: boolean;
  /** Nothing may follow it: it is released as soon as it is known to be stored. */
  readonly isFinal?: boolean;
  readonly releases: readonly Release[];
  /** Its bytes; `head` is its start (see `recordHead`). */
  encode(head: string): Uint8Array;
}

interface Flight {
  readonly number: number;
  readonly op: string;
  readonly bytes: Uint8Array;
  readonly expectedSeq: number;
  readonly isRollup: boolean;
  /** What is released with a record that nothing may follow. */
  readonly final: readonly Release[] | undefined;
  readonly changes: number;
  readonly releases: Release[];
  sentAtMs: number;
  gaps: number;
  tries: number;
  /** Some copy may have landed or may land. */
  isAmbiguous: boolean;
  isStuck: boolean;
}

export interface ChainOptions {
  readonly shard: string;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: RuntimeMetrics;
  readonly watch: LoopWatch;
  readonly by: string;
  readonly epoch: number;
  /** The record before the first of this writer. */
  readonly lastSeq: number;
  readonly lastOp: string;
  readonly appendTimeoutMs: number;
  readonly isLinkUp: boolean;
  /** The shard is another's, or its state is unknown. Called once. */
  readonly onDeposed: (why: string) => void;
  /** `isFrozen` or `isBusy` may have changed. */
  readonly onChange: () => void;
}

const NOTHING = { set: [], setJson: '', bytes: 0 } as const;
const RETRY_FIRST_MS = 20;
const RETRY_MAX_MS = 500;
const READS_MAX = 3;
/** Queued decisions beyond so many records' worth hold the mailbox back. */
const QUEUED_RECORDS_MAX = 8;

export class Chain {
  readonly #options: ChainOptions;
  readonly #recordBytes: number;
  #lastSeq: number;
  #lastOp: string;
  #firstSeq = 0;
  #queue: (Decision | SpecialRecord)[] = [];
  #queuedBytes = 0;
  #waiting = 0;
  #carried: Release[] = [];
  #flight: Flight | undefined;
  #acked: ChainCommit | undefined;
  #sent = 0;
  #isLinkUp: boolean;
  /** The record before our next one is ours, as far as is known since the link came up. */
  #isProven = true;
  #links = 0;
  #isHeld = false;
  /** A final record was given to it. */
  #isEnding = false;
  #isClosed = false;
  #isPumpDue = false;
  #lazy: Timer | undefined;
  #lazyDueMs = Number.POSITIVE_INFINITY;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #retry: Timer | undefined;
  #appendedBytes = 0;

  constructor(options: ChainOptions) {
    this.#options = options;
    this.#lastSeq = options.lastSeq;
    this.#lastOp = options.lastOp;
    this.#isLinkUp = options.isLinkUp;
    this.#recordBytes = Math.floor(options.journal.recordBytesMax / 2);
  }

  /** Position of the last acknowledged record. */
  get lastSeq(): number {
    return this.#lastSeq;
  }
  get epoch(): number {
    return this.#options.epoch;
  }
  /** True where this is the state that the writer began with: the record before its first, or its first one. */
  isAtStart(at: { readonly seq: number; readonly op: string }): boolean {
    return (this.#firstSeq > 0 && at.seq >= this.#firstSeq) || at.op === this.#options.lastOp;
  }
  /** Appends sent so far: what arrives now is answered by a later one only. */
  get sent(): number {
    return this.#sent;
  }
  /** Bytes appended by this writer. */
  get appendedBytes(): number {
    return this.#appendedBytes;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }
  /** An append is ambiguous, or the link is down or has just come up: nothing is to be decided. */
  get isFrozen(): boolean {
    return !this.#isLinkUp || !this.#isProven || this.#flight?.isStuck === true;
  }
  /** So much is queued that new requests wait. */
  get isBusy(): boolean {
    return this.#queuedBytes > QUEUED_RECORDS_MAX * this.#recordBytes;
  }
  /** Nothing is in flight. */
  get isIdle(): boolean {
    return this.#flight === undefined;
  }

  /** What a turn decided, or (with no changes) what waits for a confirm. */
  submit(decision: Decision | SpecialRecord): void {
    if (this.#isClosed) {
      for (const release of decision.releases) this.#release(release, undefined);
      return;
    }
    this.#queue.push(decision);
    if ('isFinal' in decision) this.#isEnding = true;
    if ('setJson' in decision) this.#queuedBytes += decision.bytes;
    this.#waiting += 1;
    this.#pumpSoon();
  }

  /** As `submit`, for what nobody waits for: it goes with the next record, or up to `withinMs` later in one of its own. */
  submitLater(decision: Decision, withinMs: number): void {
    if (this.#isClosed) return;
    this.#queuedBytes += decision.bytes;
    this.#pushLate(decision, this.#options.watch.observe() + withinMs);
  }

  /**
   * A statement without a change: released at once where an append that was sent after `arrival` (a reading of `sent`)
   * is acknowledged and nothing is pending; with the one in flight where that will do; else with the next.
   */
  state(release: Release, arrival: number): void {
    if (this.#isClosed) {
      this.#release(release, undefined);
      return;
    }
    this.#options.watch.observe();
    const isQueueEmpty = this.#queue.length === 0 && this.#carried.length === 0;
    if (isQueueEmpty && this.#flight === undefined && this.#acked !== undefined && this.isCurrent(this.#acked, arrival)) {
      this.#release(release, this.#acked);
    } else if (isQueueEmpty && this.#flight !== undefined && this.#flight.number > arrival) {
      this.#flight.releases.push(release);
    } else {
      this.submit({ ...NOTHING, releases: [release] });
    }
  }

  /** As `state`, but content with an append that is sent up to `withinMs` after the one before. */
  stateLazily(release: Release, withinMs: number): void {
    if (this.#isClosed) {
      this.#release(release, undefined);
      return;
    }
    const nowMs = this.#options.watch.observe();
    this.#pushLate({ ...NOTHING, releases: [release] }, Math.max(nowMs, this.#sentAtMs + withinMs));
  }

  /** Queues behind what is there; sends a record for it alone only when it is due. */
  #pushLate(decision: Decision, dueMs: number): void {
    this.#queue.push(decision);
    if (dueMs >= this.#lazyDueMs) return;
    this.#lazyDueMs = dueMs;
    this.#lazy?.cancel();
    this.#lazy = this.#options.clock.setTimer(dueMs - this.#options.watch.observe(), () => {
      this.#lazyDueMs = Number.POSITIVE_INFINITY;
      this.#waiting += 1;
      this.#pump();
    });
  }

  /** True when `commit` was sent after `arrival` and this process has run ever since. */
  isCurrent(commit: ChainCommit, arrival: number): boolean {
    this.#options.watch.observe();
    return !this.#isClosed && commit.number > arrival && commit.gaps === this.#options.watch.gaps && commit.epoch === this.#options.epoch;
  }

  /** Sends nothing new until `unhold` or `sendHeld`; decisions queue up. */
  hold(): void {
    this.#isHeld = true;
  }
  unhold(): void {
    this.#isHeld = false;
    this.#pumpSoon();
  }
  /** Sends this now, ahead of what is queued. Only while held, idle and not frozen. */
  sendHeld(special: SpecialRecord): void {
    if (!this.#isHeld || this.#flight !== undefined || this.isFrozen) throw new Error('sendHeld needs a held, idle chain');
    if (this.#isClosed) {
      for (const release of special.releases) this.#release(release, undefined);
      return;
    }
    // From here it is like any other: what is queued follows it, also a confirm that its release may wait for.
    this.#isHeld = false;
    this.#send(special, [...special.releases], 0);
  }

  setLink(isUp: boolean): void {
    if (this.#isLinkUp === isUp) return;
    this.#isLinkUp = isUp;
    this.#isProven = false;
    this.#options.onChange();
    const link = ++this.#links;
    const isCurrent = (): boolean => !this.#isClosed && this.#links === link;
    const at = { lastSeq: this.#lastSeq, lastOp: this.#lastOp };
    if (isUp && this.#lastSeq === 0) this.#goOn();
    else if (isUp) proveOwnPlace({ ...this.#options, ...at, isCurrent, proven: () => this.#goOn(), lost: (why) => this.depose(why) });
  }

  #goOn(): void {
    this.#isProven = true;
    this.#options.onChange();
    if (this.#flight?.isStuck === true) this.#resend(this.#flight);
    // An empty record says whether the chain is still ours.
    else if (!this.#isEnding) this.submit({ ...NOTHING, releases: [] });
    else this.#pumpSoon();
  }

  /** Ends it: everything that waits is dropped. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#lazy?.cancel();
    this.#retry?.cancel();
    const dropped = [...(this.#flight?.releases ?? []), ...this.#carried, ...this.#queue.flatMap((decision) => decision.releases)];
    this.#flight = undefined;
    this.#carried = [];
    this.#queue = [];
    for (const release of dropped) this.#release(release, undefined);
  }

  depose(why: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#options.onDeposed(why);
  }

  /** What is released runs code of the session: a defect there must not stop what is behind it. */
  #release(release: Release, commit: ChainCommit | undefined): void {
    try {
      if (this.#isClosed || commit === undefined) release.drop?.();
      else release.release(commit);
    } catch (error) {
      this.#options.logger.error({ shard: this.#options.shard, error }, 'what waited for a record threw');
    }
  }

  /** After everything that came in the same chunk of input has had its turn: one record for all of it. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#flight !== undefined || this.#isHeld || this.#isClosed || !this.#isLinkUp || !this.#isProven) return;
    if (this.#waiting === 0 && this.#carried.length === 0) return;
    this.#waiting = 0;
    this.#lazy?.cancel();
    this.#lazyDueMs = Number.POSITIVE_INFINITY;
    const releases = this.#carried;
    this.#carried = [];
    const first = this.#queue[0];
    if (first !== undefined && 'encode' in first) {
      this.#queue.shift();
      this.#waiting = this.#queue.length;
      releases.push(...first.releases);
      this.#send(first, releases, 0);
      return;
    }
    const json: string[] = [];
    let bytes = 0;
    let changes = 0;
    let taken = 0;
    for (const decision of this.#queue) {
      if ('encode' in decision) break;
      // A single decision may fill a whole record.
      if (bytes > 0 && bytes + decision.bytes > this.#recordBytes) break;
      taken += 1;
      if (decision.setJson !== '') json.push(decision.setJson);
      bytes += decision.bytes;
      changes += decision.set.length;
      for (const release of decision.releases) releases.push(release);
    }
    this.#queue = taken === this.#queue.length ? [] : this.#queue.slice(taken);
    this.#queuedBytes -= bytes;
    this.#waiting = this.#queue.length;
    const setJson = json.join(',');
    const type = setJson === '' ? 'confirm' : 'ops';
    this.#send({ type, releases: [], encode: (head) => encodeRecord(head, '', setJson) }, releases, changes);
  }

  #send(record: SpecialRecord, releases: Release[], changes: number): void {
    const { by, epoch, random } = this.#options;
    const op = random.id();
    const bytes = record.encode(recordHead({ by, epoch, op, prev: this.#lastOp, type: record.type }));
    const flight: Flight = {
      number: ++this.#sent,
      op,
      bytes,
      expectedSeq: this.#lastSeq,
      isRollup: record.isRollup === true,
      final: record.isFinal === true ? record.releases : undefined,
      changes,
      releases,
      sentAtMs: 0,
      gaps: 0,
      tries: 0,
      isAmbiguous: false,
      isStuck: false,
    };
    this.#flight = flight;
    this.#transmit(flight);
  }

  #transmit(flight: Flight): void {
    const { journal, shard, watch, appendTimeoutMs } = this.#options;
    flight.sentAtMs = watch.observe();
    flight.gaps = watch.gaps;
    this.#sentAtMs = flight.sentAtMs;
    const options = { expectedSeq: flight.expectedSeq, timeoutMs: appendTimeoutMs };
    journal.append(shard, flight.bytes, flight.isRollup ? { ...options, rollup: true } : options).then(
      (outcome) => this.#settle(flight, outcome),
      (error: unknown) => this.#settle(flight, { kind: 'unknown', message: String(error) }),
    );
  }

  #settle(flight: Flight, outcome: AppendOutcome): void {
    if (this.#isClosed || this.#flight !== flight) return;
    switch (outcome.kind) {
      case 'stored':
        this.#landed(flight, outcome.seq, false);
        return;
      case 'conflict':
        // Most likely another's: nothing is decided, and no lease runs, until what is in our place is known.
        this.#freeze(flight);
        this.#readForward(flight, 1);
        return;
      case 'not-stored':
        flight.tries += 1;
        // One write of the same subject in flight (10164) is over in a moment; it freezes only when it is not.
        this.#stick(flight, outcome.reason !== 'in-flight' || flight.tries > READS_MAX, outcome.message);
        return;
      case 'unknown':
        flight.tries += 1;
        flight.isAmbiguous = true;
        this.#stick(flight, true, outcome.message);
        return;
    }
  }

  #stick(flight: Flight, isStuck: boolean, message: string): void {
    const { logger, clock, random, shard } = this.#options;
    if (isStuck && !flight.isStuck) {
      logger.warn({ shard, reason: message, isAmbiguous: flight.isAmbiguous }, 'append unresolved: the shard is frozen');
      this.#freeze(flight);
    }
    if (!this.#isLinkUp) return;
    const delayMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(flight.tries, 10)) * (0.5 + random.next() / 2);
    this.#retry?.cancel();
    this.#retry = clock.setTimer(delayMs, () => this.#resend(flight));
  }

  #freeze(flight: Flight): void {
    if (flight.isStuck) return;
    flight.isStuck = true;
    this.#options.onChange();
  }

  #resend(flight: Flight): void {
    if (this.#isClosed || this.#flight !== flight || !this.#isLinkUp || !this.#isProven) return;
    this.#retry?.cancel();
    this.#transmit(flight);
  }

  /** What is at our place says whether we are still the writer. A read may be old: only our own id counts as good news. */
  #readForward(flight: Flight, tries: number): void {
    const { journal, shard } = this.#options;
    journal
      .next(shard, flight.expectedSeq + 1)
      .then((message) => {
        if (this.#isClosed || this.#flight !== flight) return;
        if (message === undefined && tries < READS_MAX) this.#readAgain(flight, tries);
        else if (message === undefined) this.depose('the chain is shorter than it was');
        else if (parseRecord(message).record.op === flight.op) this.#landed(flight, message.seq, true);
        else this.depose('another record is in our place');
      })
      .catch((error: unknown) => {
        if (this.#isClosed || this.#flight !== flight) return;
        if (tries < READS_MAX) this.#readAgain(flight, tries);
        else this.depose(`what is in our place cannot be read: ${String(error)}`);
      });
  }

  #readAgain(flight: Flight, tries: number): void {
    this.#retry?.cancel();
    this.#retry = this.#options.clock.setTimer(RETRY_FIRST_MS * 2 ** tries, () => this.#readForward(flight, tries + 1));
  }

  #landed(flight: Flight, seq: number, wasFound: boolean): void {
    const { watch, metrics, shard, epoch } = this.#options;
    const nowMs = watch.observe();
    this.#flight = undefined;
    this.#lastSeq = seq;
    if (this.#firstSeq === 0) this.#firstSeq = seq;
    this.#lastOp = flight.op;
    this.#appendedBytes += flight.bytes.length;
    metrics.appendSeconds.observe((nowMs - flight.sentAtMs) / 1000, { shard });
    metrics.changesPerRecord.observe(flight.changes);
    if (flight.isStuck) this.#options.onChange();
    const commit: ChainCommit = { seq, epoch, number: flight.number, gaps: flight.gaps };
    if (wasFound || watch.gaps !== flight.gaps) {
      if (flight.final !== undefined) {
        // No later record can say that it was still the last; what states something with it is asked elsewhere.
        for (const release of flight.releases) this.#release(release, flight.final.includes(release) ? commit : undefined);
        return;
      }
      // Durable, but perhaps no longer the last: only the next acknowledgement says that we are still the writer.
      this.#carried = [...flight.releases, ...this.#carried];
      if (this.#carried.length > 0) this.#pump();
      else this.#pumpSoon();
      return;
    }
    this.#acked = commit;
    // What is queued goes first, so that the next append is on its way while this one's answers are written.
    this.#pump();
    for (const release of flight.releases) this.#release(release, commit);
    this.#options.onChange();
  }
}
