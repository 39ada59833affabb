// The slots of one shard: every change of a slot goes through here, so that what is known about all of them is right.
//
// Owns: the indexes over the slots, and each slot's clock. Does not own: who gets a slot (reserve desk), how workers are
// started and told (worker link, reconciler).
// Invariants:
//   T1. The indexes are what a fold over all slots gives (a test compares them after random changes).
//   T2. A slot's clock is the one of its state, started on entering it.
import {
  countsForOrg,
  type EndReason,
  isHeld,
  type PoolSpec,
  SLOT_STATES,
  type SlotContext,
  type SlotEvent,
  type SlotInput,
  type SlotStateName,
  slotClock,
  slotStateName,
} from '@muster/domain';
import type { ActorRecord, OwnedShard, Turn } from '@muster/runtime';
import { endedKind, slotKind } from '../kinds.ts';

/** A slot with its state by name. */
export interface Slot extends SlotContext {
  readonly state: SlotStateName;
}

/** One change of one slot; `before` is undefined for a new one. */
export interface SlotChange {
  readonly id: string;
  readonly before: Slot | undefined;
  readonly after: Slot;
  readonly event: SlotEvent | undefined;
}

/** The key of a request: two orgs may use the same id. */
export function requestKey(org: string, requestId: string): string {
  return `${org} ${requestId}`;
}

function viewOf(record: ActorRecord<SlotContext>): Slot {
  return { ...record.context, state: slotStateName(record.state) };
}

export class SlotTable {
  /** Warm with the current template, longest warm first. */
  readonly warm = new Set<string>();
  /** Warm with a template that has been replaced. */
  readonly warmOld = new Set<string>();
  /** Workers that have missed a beat: candidates where there is no other. */
  readonly quiet = new Set<string>();
  /** Workers that have not been heard of for too long: no candidates. */
  readonly silent = new Set<string>();
  /** Warm by the journal, and its worker says that it serves somebody: NATS lost writes. No candidates, and left alone. */
  readonly occupied = new Set<string>();
  readonly #parked = new Map<string, string>();
  readonly #parkedOf = new Map<string, Set<string>>();
  readonly #byRequest = new Map<string, string>();
  readonly #ofOrg = new Map<string, number>();
  readonly #onHost = new Map<string, number>();
  readonly #counts = new Map<SlotStateName, number>(SLOT_STATES.map((state) => [state, 0]));
  readonly #shard: OwnedShard;
  readonly #spec: () => PoolSpec;
  readonly #changed: (turn: Turn, change: SlotChange) => void;

  constructor(shard: OwnedShard, spec: () => PoolSpec, changed: (turn: Turn, change: SlotChange) => void) {
    this.#shard = shard;
    this.#spec = spec;
    this.#changed = changed;
  }

  /** Takes over what the journal says, with clocks that go on or start again as their kind wants. */
  load(turn: Turn): void {
    this.index(turn);
    for (const [id, record] of turn.list(slotKind)) {
      const slot = viewOf(record);
      this.#arm(slot, this.#shard.elapsedInStateMs(slotKind, id));
      if (slot.reservation !== null) this.renewLease(slot);
    }
  }

  /** Makes the indexes anew from the records. */
  index(turn: Turn): void {
    for (const index of [this.warm, this.warmOld, this.#parked, this.#parkedOf, this.#byRequest, this.#ofOrg, this.#onHost]) index.clear();
    for (const state of SLOT_STATES) this.#counts.set(state, 0);
    for (const [, record] of turn.list(slotKind)) this.#index(viewOf(record));
  }

  get(turn: Turn, id: string): Slot | undefined {
    const record = turn.get(slotKind, id);
    return record === undefined ? undefined : viewOf(record);
  }

  *all(turn: Turn): Iterable<Slot> {
    for (const [, record] of turn.list(slotKind)) yield viewOf(record);
  }

  /** Every slot's state, without a copy of the slot. */
  *states(turn: Turn): Iterable<readonly [id: string, state: SlotStateName]> {
    for (const [id, record] of turn.list(slotKind)) yield [id, slotStateName(record.state)];
  }

  create(turn: Turn, input: SlotInput): void {
    const { after } = turn.create(slotKind, input.id, input);
    if (after === undefined) throw new Error(`slot ${input.id} was not made`);
    const slot = viewOf(after);
    this.#index(slot);
    this.#arm(slot, 0);
    this.#changed(turn, { id: slot.id, before: undefined, after: slot, event: undefined });
  }

  /** Ends a slot without its machine, which cannot take an event any more: its worker is still to be stopped. */
  quarantine(turn: Turn, id: string): Slot | undefined {
    const record = turn.get(slotKind, id);
    if (record === undefined) return undefined;
    const { context } = record;
    const lastEnd = context.reservation === null ? context.lastEnd : { epoch: context.epoch, reason: 'quarantined' as const };
    const ended: SlotContext = { ...context, reservation: null, lastEnd, reason: 'quarantined', detail: null };
    const before = viewOf(record);
    turn.put(slotKind, id, { state: 'draining', context: ended });
    return this.#moved(turn, before, { ...ended, state: 'draining' }, undefined);
  }

  /** Gives a slot an event; undefined where it has no transition for it. */
  change(turn: Turn, id: string, event: SlotEvent): Slot | undefined {
    const result = turn.send(slotKind, id, event);
    if (!result.isAccepted || result.before === undefined || result.after === undefined) return undefined;
    return this.#moved(turn, viewOf(result.before), viewOf(result.after), event);
  }

  #moved(turn: Turn, before: Slot, after: Slot, event: SlotEvent | undefined): Slot {
    const { id } = after;
    this.#unindex(before);
    this.#index(after);
    if (before.state !== after.state || isHeld(before) !== isHeld(after)) this.#arm(after, 0);
    if (after.epoch !== before.epoch) this.renewLease(after);
    if (before.reservation !== null && after.reservation === null) this.#end(turn, before, after.lastEnd?.reason ?? 'released');
    if (after.state === 'reaped') {
      this.quiet.delete(id);
      this.silent.delete(id);
      this.occupied.delete(id);
      turn.delete(slotKind, id);
    }
    this.#changed(turn, { id, before, after, event });
    return after;
  }

  /** Starts the lease of a slot's reservation anew; memory only, as DESIGN 6.3 wants. */
  renewLease(slot: Slot): void {
    if (slot.reservation === null) return;
    this.#shard.setTimer(`lease:${slot.id}`, slot.reservation.ttlMs, 'external', (turn) => {
      if (this.get(turn, slot.id)?.epoch === slot.epoch) this.change(turn, slot.id, { type: 'lease.expired' });
    });
  }

  count(...states: SlotStateName[]): number {
    return states.reduce((sum, state) => sum + (this.#counts.get(state) ?? 0), 0);
  }
  /** Everything that has not been reaped. */
  get alive(): number {
    return this.count('spawning', 'warm', 'reserved.activating', 'reserved.active', 'reserved.parked', 'reserved.resetting', 'draining');
  }
  /** Reserved and parked slots of an org. */
  ofOrg(org: string): number {
    return this.#ofOrg.get(org) ?? 0;
  }
  /** Live slots by host, for the driver's placing. */
  get onHost(): ReadonlyMap<string, number> {
    return this.#onHost;
  }
  /** The slot that a live request id has. */
  ofRequest(key: string): string | undefined {
    return this.#byRequest.get(key);
  }
  /** Parked slots of an org, longest parked first. */
  parkedOf(org: string): readonly string[] {
    return [...(this.#parkedOf.get(org) ?? [])];
  }
  /** All parked slots with their orgs, longest parked first. */
  get parked(): ReadonlyMap<string, string> {
    return this.#parked;
  }
  /** The warm slot to give next: one that was heard of lately, of the current template, warm longest; never a silent one. */
  candidate(): string | undefined {
    let quiet: string | undefined;
    for (const set of [this.warm, this.warmOld]) {
      for (const id of set) {
        if (this.silent.has(id) || this.occupied.has(id)) continue;
        if (!this.quiet.has(id)) return id;
        quiet ??= id;
      }
    }
    return quiet;
  }
  /** Looks at every warm slot's template again, after the pool's has changed. */
  retemplate(turn: Turn): void {
    const warm = [...this.warm, ...this.warmOld];
    this.warm.clear();
    this.warmOld.clear();
    for (const id of warm) {
      const slot = this.get(turn, id);
      if (slot !== undefined) this.#warmSet(slot).add(id);
    }
  }

  #warmSet(slot: Slot): Set<string> {
    return slot.templateHash === this.#spec().templateHash ? this.warm : this.warmOld;
  }

  #index(slot: Slot): void {
    this.#counts.set(slot.state, (this.#counts.get(slot.state) ?? 0) + 1);
    if (slot.state !== 'reaped' && slot.host !== null) add(this.#onHost, slot.host, 1);
    if (slot.state === 'warm') this.#warmSet(slot).add(slot.id);
    if (slot.org === null) return;
    if (countsForOrg(slot.state)) add(this.#ofOrg, slot.org, 1);
    if (slot.state === 'reserved.parked') {
      this.#parked.set(slot.id, slot.org);
      const ids = this.#parkedOf.get(slot.org) ?? new Set();
      this.#parkedOf.set(slot.org, ids.add(slot.id));
    }
    if (slot.reservation !== null) this.#byRequest.set(requestKey(slot.org, slot.reservation.requestId), slot.id);
  }

  #unindex(slot: Slot): void {
    this.#counts.set(slot.state, (this.#counts.get(slot.state) ?? 0) - 1);
    if (slot.state !== 'reaped' && slot.host !== null) add(this.#onHost, slot.host, -1);
    this.warm.delete(slot.id);
    this.warmOld.delete(slot.id);
    if (slot.org === null) return;
    if (countsForOrg(slot.state)) add(this.#ofOrg, slot.org, -1);
    if (this.#parked.delete(slot.id)) {
      const ids = this.#parkedOf.get(slot.org);
      ids?.delete(slot.id);
      if (ids?.size === 0) this.#parkedOf.delete(slot.org);
    }
    if (slot.reservation !== null) this.#byRequest.delete(requestKey(slot.org, slot.reservation.requestId));
  }

  #arm(slot: Slot, elapsedMs: number): void {
    const clock = slotClock(slot, this.#spec());
    if (clock === undefined) return this.#shard.clearTimer(`clock:${slot.id}`);
    const passedMs = clock.clock === 'internal' ? Math.min(elapsedMs, clock.delayMs) : 0;
    this.#shard.setTimer(`clock:${slot.id}`, clock.delayMs - passedMs, clock.clock, (turn) => {
      if (this.get(turn, slot.id)?.state === slot.state) this.change(turn, slot.id, clock.event);
    });
  }

  #end(turn: Turn, slot: Slot, reason: EndReason): void {
    this.#shard.clearTimer(`lease:${slot.id}`);
    if (slot.org === null || slot.reservation === null || reason === 'activation-failed') return;
    turn.put(endedKind, requestKey(slot.org, slot.reservation.requestId), { reason });
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
