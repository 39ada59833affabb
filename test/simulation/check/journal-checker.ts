// What every stored record has to keep (G1, G3, G4, G5, G7, G8), against what workers and clients really did.
import type { JournalMessage } from '@muster/ports';
import { JANITOR_SHARD } from '@muster/protocol';
import {
  type FoldedConfig,
  type FoldedIntent,
  type FoldedSlot,
  isCounted,
  type ReadRecord,
  readRecord,
  readSlot,
  ShardFold,
} from './fold.ts';
import type { TroubleKind } from '../world/troubles.ts';
import type { Verdict } from './verdict.ts';

/** One reservation as it was journaled. */
export interface Issue {
  readonly id: string;
  readonly shard: string;
  readonly slot: string;
  readonly org: string;
  readonly requestId: string;
  readonly ttlMs: number;
  /** When its holder was last told that it is renewed, by when it had asked. */
  renewedAtMs: number;
  ended: { readonly event: number; readonly reason: string } | undefined;
  /** Its holder has begun to give it back. */
  isLetGo: boolean;
  /** The client whose SDK was told that it has it. */
  holder: string | undefined;
}

/** What the workers and the world say. */
export interface Truth {
  nowMs(): number;
  isGone(slot: string): boolean;
  /** What runs it has lost sight of it. */
  isOutOfSight(slot: string): boolean;
  /** The org whose data is in the slot's process; undefined: none, or no process. */
  dirtyOf(slot: string): string | undefined;
  /** Local milliseconds per real one, at the most. */
  readonly rateMax: number;
  /** Nothing was wrong with this process for so long, but for what is ignored. */
  isWell(name: string, forMs: number, ignored?: readonly TroubleKind[]): boolean;
  isAlive(name: string): boolean;
}

/** So long after the last trouble a process has caught up. */
const WELL_MS = 5_000;
/** A process that was late or whose clock jumped may count its own gap, up to so much. */
const GAP_MS = 800;
/** What is decided waits for the append in flight, which is given up after so long; the holder counts from when it asked. */
const DECIDED_BEFORE_MS = 1_600;
const ENDS: Readonly<Record<string, true>> = {
  released: true,
  cancelled: true,
  'lease-expired': true,
  'worker-lost': true,
  'activation-failed': true,
};

/** After these the request's id is not executed again. */
const FINAL_ENDS: ReadonlySet<string> = new Set(['released', 'cancelled', 'lease-expired']);
/** `spawning`, `resetting`, `active`: through `warm` or `parked` in the same turn. */
const GIVEN_FROM: ReadonlySet<string> = new Set(['spawning', 'warm', 'reserved.parked', 'reserved.resetting', 'reserved.active']);

export class JournalChecker {
  readonly folds = new Map<string, ShardFold>();
  readonly issues = new Map<string, Issue>();
  /** Slots that were ever durable. */
  readonly slotsEver = new Set<string>();
  readonly intents = new Map<number, FoldedIntent>();
  readonly configs = new Map<number, FoldedConfig>();
  config: FoldedConfig | undefined;
  /** Counts what happens, so that before and after have a meaning. */
  event = 0;
  /** NATS has lost acknowledged writes: what the journal says is not what was. */
  isLossy = false;
  /** When the newest append of an epoch that is stored was sent, by shard and epoch. */
  readonly #sentAt = new Map<string, number>();
  readonly #sending = new Map<string, { readonly event: number; readonly atMs: number }>();
  readonly #started = new Map<string, number>();
  /** Requests that are over for good, by pool, org and id. */
  readonly endedRequests = new Map<string, string>();
  readonly #liveRequests = new Map<string, string>();
  /** When what is in the record that is looked at was decided, at the earliest. */
  #decidedMs = 0;
  #history: JournalMessage[] = [];
  readonly #verdict: Verdict;
  readonly #truth: Truth;
  /** Told of each intent before it counts. */
  onIntent: (intent: FoldedIntent) => void = () => undefined;

  constructor(verdict: Verdict, truth: Truth) {
    this.#verdict = verdict;
    this.#truth = truth;
  }

  fold(shard: string): ShardFold {
    let fold = this.folds.get(shard);
    if (fold === undefined) this.folds.set(shard, (fold = new ShardFold(shard)));
    return fold;
  }

  slot(id: string): FoldedSlot | undefined {
    for (const fold of this.folds.values()) {
      const slot = fold.slots.get(id);
      if (slot !== undefined) return slot;
    }
    return undefined;
  }

  /** An append leaves its replica. */
  appending(data: Uint8Array): void {
    const { op } = readRecord({ shard: '', seq: 0, timeMs: 0, data });
    this.event += 1;
    if (!this.#sending.has(op)) this.#sending.set(op, { event: this.event, atMs: this.#truth.nowMs() });
  }

  /** When the newest stored append of this shard (of this epoch) was sent. */
  sentAt(shard: string, epoch?: number): number {
    return this.#sentAt.get(epoch === undefined ? shard : `${shard} ${epoch}`) ?? 0;
  }

  stored(message: JournalMessage): void {
    this.event += 1;
    this.#history.push(message);
    const record = readRecord(message);
    const fold = this.fold(message.shard);
    this.#chain(fold, record, message.seq);
    const { event, atMs } = this.#sending.get(record.op) ?? { event: this.event, atMs: this.#truth.nowMs() };
    this.#sending.delete(record.op);
    this.#decidedMs = atMs - DECIDED_BEFORE_MS;
    this.#sentAt.set(message.shard, Math.max(this.sentAt(message.shard), event));
    this.#sentAt.set(`${message.shard} ${record.epoch}`, Math.max(this.sentAt(message.shard, record.epoch), event));
    this.#apply(fold, record, message.seq, true);
  }

  /** All that was stored after `seq` is gone, and some journals whole; from here they are not the truth. */
  lost(seq: number, isEmpty: (shard: string) => boolean): void {
    this.isLossy = true;
    // A rollup that is lost has taken what it replaced with it.
    this.#history = this.#history.filter((message) => message.seq <= seq && !isEmpty(message.shard));
    for (const index of [this.folds, this.intents, this.configs, this.#liveRequests, this.#started]) index.clear();
    this.config = undefined;
    for (const message of this.#history) this.#apply(this.fold(message.shard), readRecord(message), message.seq, false);
  }

  #chain(fold: ShardFold, record: ReadRecord, seq: number): void {
    const at = `${fold.shard}: the record at ${seq} (${record.type}, epoch ${record.epoch})`;
    if (record.prev !== fold.op) this.#verdict.broken('G3', `${at} follows ${record.prev}, the last stored is ${fold.op} at ${fold.seq}`);
    if (record.type === 'epoch') {
      this.#taken(fold, record, at);
      if (record.epoch <= fold.epoch) this.#verdict.broken('G3', `${at} does not raise the epoch ${fold.epoch}`);
    } else if (record.epoch !== fold.epoch || record.by !== fold.by) {
      this.#verdict.broken('G3', `${at} by ${record.by} is not of the owner ${fold.owner}, epoch ${fold.epoch}`);
    } else if (fold.isHandedOver) {
      this.#verdict.broken('G3', `${at} comes after its owner's handover`);
    }
  }

  /** A shard is not taken from an owner with which all is well, by one that only had no link or stood still (G10). */
  #taken({ owner, isHandedOver }: ShardFold, { replica }: ReadRecord, at: string): void {
    const truth = this.#truth;
    if (owner === undefined || replica === undefined || owner === replica || isHandedOver || this.isLossy) return;
    if (!truth.isAlive(owner) || !truth.isWell(owner, WELL_MS) || !truth.isWell(replica, WELL_MS, ['link', 'pause'])) return;
    this.#verdict.broken('G10', `${at} takes the shard from ${owner}, with which all is well`);
  }

  #apply(fold: ShardFold, record: ReadRecord, seq: number, isChecked: boolean): void {
    fold.seq = seq;
    fold.op = record.op;
    fold.by = record.by;
    fold.epoch = record.epoch;
    fold.isHandedOver = record.type === 'handover';
    if (record.replica !== undefined) fold.owner = record.replica;
    for (const [kind, id, value] of record.set ?? []) {
      if (kind === 'slot') this.#slot(fold, id, readSlot(value), isChecked && !this.isLossy);
      else if (kind === 'pool') this.#pool(fold, value as { readonly configVersion: number; readonly intentApplied: number });
      else if (kind === 'intent' && fold.shard === JANITOR_SHARD && value !== null) this.#intent(value as FoldedIntent, isChecked);
      else if (kind === 'config' && fold.shard === JANITOR_SHARD) {
        this.config = value as FoldedConfig;
        this.configs.set(this.config.version, this.config);
      }
    }
  }

  #pool(fold: ShardFold, state: { readonly configVersion: number; readonly intentApplied: number }): void {
    if (state.intentApplied < fold.intentApplied && !this.isLossy) {
      this.#verdict.broken('G5', `${fold.shard}: intent ${state.intentApplied} is applied after ${fold.intentApplied}`);
    }
    fold.intentApplied = state.intentApplied;
    fold.configVersion = state.configVersion;
  }

  #intent(intent: FoldedIntent, isChecked: boolean): void {
    if (isChecked && this.intents.has(intent.n)) this.#verdict.broken('G5', `intent ${intent.n} is decided twice`);
    if (isChecked) this.onIntent(intent);
    this.intents.set(intent.n, intent);
  }

  #slot(fold: ShardFold, id: string, after: FoldedSlot | undefined, isChecked: boolean): void {
    const before = fold.slots.get(id);
    if (after === undefined) fold.slots.delete(id);
    else fold.slots.set(id, after);
    this.slotsEver.add(id);
    this.#noteReservations(fold, before, after);
    if (!isChecked) return;
    if (after === undefined) {
      if (before !== undefined && before.state !== 'draining') this.#verdict.broken('G6', `${id} is reaped from ${before.state}`);
      if (!this.#truth.isGone(id)) this.#verdict.broken('G6', `${id} is reaped, and its worker is not gone`);
      return;
    }
    if (before === undefined) this.#created(fold, after);
    else this.#changed(fold, before, after);
  }

  #created(fold: ShardFold, slot: FoldedSlot): void {
    const { id, intent, state } = slot;
    if (state !== 'spawning') this.#verdict.broken('G5', `${id} begins as ${state}`);
    const key = `${fold.shard} ${intent}`;
    const started = (this.#started.get(key) ?? 0) + 1;
    this.#started.set(key, started);
    const ordered = this.intents.get(intent)?.parts[fold.shard]?.start ?? 0;
    if (started > ordered) this.#verdict.broken('G5', `${id} is number ${started} of intent ${intent}, which orders ${ordered}`);
    const spec = this.configs.get(fold.configVersion)?.config.pools[slot.pool];
    if (spec === undefined || spec.max === 0) return;
    const part = spec.shards === 1 ? 0 : Number(fold.shard.split('--').at(-1));
    const cap = Math.floor(spec.max / spec.shards) + (part < spec.max % spec.shards ? 1 : 0);
    if (fold.alive > cap) this.#verdict.broken('G4', `${fold.shard} has ${fold.alive} slots with ${id}, its cap is ${cap}`);
  }

  #changed(fold: ShardFold, before: FoldedSlot, after: FoldedSlot): void {
    const { id } = after;
    if (after.epoch < before.epoch || after.epoch > before.epoch + 1) {
      this.#verdict.broken('G1', `${id} goes from epoch ${before.epoch} to ${after.epoch}`);
    }
    const isNew = after.reservation !== null && after.reservation.id !== before.reservation?.id;
    if (isNew) this.#reserved(fold, before, after);
    if (before.reservation !== null && after.reservation === null) this.#ended(before, after, before.reservation.id);
    if (after.state === 'warm' && before.state !== 'warm' && before.state !== 'spawning') {
      if (before.state !== 'reserved.resetting') this.#verdict.broken('G8', `${id} is warm after ${before.state}`);
      const org = this.#truth.dirtyOf(id);
      if (org !== undefined) this.#verdict.broken('G8', `${id} is warm, and its process has the data of ${org}`);
    }
  }

  #reserved(fold: ShardFold, before: FoldedSlot, after: FoldedSlot): void {
    const { id, org, reservation } = after;
    if (org === null || reservation === null) return;
    const told = `${id} is reserved as ${reservation.id} for ${org}`;
    // One record of a slot shows what one turn made of it: a release and the next reservation of the same org may be one.
    const isReturned = before.reservation === null || this.issues.get(before.reservation.id)?.isLetGo === true;
    if (!isReturned) this.#verdict.broken('G1', `${told}, and is ${before.org}'s as ${before.reservation?.id}`);
    if (after.epoch !== before.epoch + 1) this.#verdict.broken('G1', `${told} at epoch ${after.epoch} after ${before.epoch}`);
    if (!GIVEN_FROM.has(before.state)) this.#verdict.broken('G1', `${told} out of ${before.state}`);
    const dirtyOf = this.#truth.dirtyOf(id);
    if (dirtyOf !== undefined && dirtyOf !== org) this.#verdict.broken('G8', `${told}, and its process has the data of ${dirtyOf}`);
    if (before.org !== null && before.org !== org && before.state !== 'reserved.resetting') {
      this.#verdict.broken('G8', `${told}, and was ${before.org}'s`);
    }
    const max = this.configs.get(fold.configVersion)?.config.orgs[org]?.max ?? 0;
    const isMore = !isCounted(before.state);
    const count = fold.ofOrg(org);
    if (isMore && max > 0 && count > max) this.#verdict.broken('G4', `${told}: the org's ${count}th of ${max}`);
  }

  #ended(before: FoldedSlot, after: FoldedSlot, reservation: string): void {
    const reason = after.lastEnd?.reason ?? 'nothing';
    if (ENDS[reason] === undefined) this.#verdict.broken('G7', `${reservation} is ended by ${reason}`);
    if (reason === 'worker-lost' && !this.#truth.isGone(before.id) && !this.#truth.isOutOfSight(before.id)) {
      this.#verdict.broken('G7', `${reservation} is ended as worker-lost, and its worker is not gone`);
    }
    const issue = this.issues.get(reservation);
    if (reason !== 'lease-expired' || issue === undefined) return;
    const heldMs = this.#truth.nowMs() - issue.renewedAtMs;
    const leastMs = issue.ttlMs / this.#truth.rateMax - GAP_MS;
    const { holder } = issue;
    const isMissed =
      holder !== undefined && !issue.isLetGo && this.#truth.isAlive(holder) && this.#truth.isWell(holder, issue.ttlMs + WELL_MS);
    const { owner } = this.fold(issue.shard);
    if (isMissed && owner !== undefined && this.#truth.isWell(owner, issue.ttlMs + WELL_MS, ['link', 'pause'])) {
      this.#verdict.broken('G7', `${reservation} expires, and its holder ${holder} has been renewing all the time`);
    }
    if (heldMs < leastMs) this.#verdict.broken('G7', `${reservation} expires ${heldMs} ms after it was renewed for ${issue.ttlMs} ms`);
  }

  #noteReservations(fold: ShardFold, before: FoldedSlot | undefined, after: FoldedSlot | undefined): void {
    const was = before?.reservation ?? null;
    const is = after?.reservation ?? null;
    if (was !== null && was.id !== is?.id) {
      const issue = this.issues.get(was.id);
      const reason = after?.lastEnd?.reason ?? 'released';
      if (issue !== undefined) issue.ended ??= { event: this.event, reason };
      if (FINAL_ENDS.has(reason)) this.endedRequests.set(`${before?.pool} ${before?.org} ${was.requestId}`, reason);
      this.#liveRequests.delete(`${before?.pool} ${before?.org} ${was.requestId}`);
    }
    if (is === null || is.id === was?.id || after === undefined || after.org === null) return;
    const key = `${after.pool} ${after.org} ${is.requestId}`;
    const other = this.#liveRequests.get(key);
    if (other !== undefined && !this.isLossy) {
      this.#verdict.broken('G1', `request ${is.requestId} of ${after.org} has ${is.id}, and ${other} already`);
    }
    this.#liveRequests.set(key, is.id);
    const how = this.endedRequests.get(key);
    if (how !== undefined && !this.isLossy)
      this.#verdict.broken('G1', `request ${is.requestId} of ${after.org} has ${is.id}, and had ended: ${how}`);
    if (this.issues.has(is.id) && !this.isLossy) this.#verdict.broken('G1', `${is.id} is given a second time`);
    this.issues.set(is.id, {
      id: is.id,
      shard: fold.shard,
      slot: after.id,
      org: after.org,
      requestId: is.requestId,
      ttlMs: is.ttlMs,
      renewedAtMs: this.#decidedMs,
      ended: undefined,
      isLetGo: false,
      holder: undefined,
    });
  }
}
