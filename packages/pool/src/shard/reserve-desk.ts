// Who gets which slot of this shard: the order of DESIGN 6.2, waiters, grants in the middle of their activation.
//
// Owns: waiters, refusals, and the grants whose worker has not said yes. All of it is memory; whoever waits asks again.
// Invariants:
//   D1. A request id has at most one reservation, and is either live, waiting, refused or ended.
//   D2. A grant is answered after its commit and its worker's yes, from a slot that still has that reservation.
//   D3. Reserved + parked + waiting of an org never exceed its cap.
//   D4. A failed candidate leaves the request open; at most three candidates in one call.
import { BUDGETS, type EndReason, FairQueue, type OrgSpec, type PoolSpec } from '@muster/domain';
import type { Miss, MissReason, RefResult, ReservationRef, ReserveAnswer, ShardCommand } from '@muster/protocol';
import { subjects, trySlotOf } from '@muster/protocol';
import type { Command, Commit, OwnedShard, Turn } from '@muster/runtime';
import { endedKind } from '../kinds.ts';
import type { ReserveMeters } from '../meters.ts';
import { Refusals } from './refusals.ts';
import { requestKey, type Slot, type SlotChange, type SlotTable } from './slot-table.ts';

type ReserveCommand = Extract<ShardCommand, { type: 'reserve' }>;
type Source = 'warm' | 'parked' | 'waited';

/** Candidates that one call may use up before it is told `activation-failed`. */
const CANDIDATES_MAX = 3;
/** Slots changed in one turn at the most: its record must fit a message. */
const SLICE = 500;
/** Answers that one request may have open at once: its first try and its repeats. */
const OPEN_ANSWERS_MAX = 8;

/** One request, from its first try to its answer. */
interface Request {
  readonly key: string;
  readonly body: ReserveCommand;
  /** When it began to wait, on the owner's clock, with what it had waited before. */
  readonly sinceMs: number;
  /** When it came here, on the owner's clock. */
  readonly arrivedMs: number;
  readonly commands: Command[];
  candidates: number;
}
interface Grant {
  readonly request: Request;
  readonly source: Source;
  readonly waitedMs: number;
  /** Granted by an owner before this one, which may have told its client: with it the request id ends. */
  readonly isInherited: boolean;
  /** Set when its worker was told. */
  token: string | undefined;
  /** The append that its answer hangs on. */
  commit: Commit | undefined;
}

export interface WorkerYes {
  readonly kind: 'activated' | 'refused-request' | 'refused-worker';
  readonly detail: string;
}

export interface DeskPolicy {
  spec(): PoolSpec;
  org(org: string): OrgSpec;
  /** Live slots that this shard may have; undefined: no bound. */
  ceiling(): number | undefined;
  /** Nobody is given anything, and nobody waits. */
  isPaused(): boolean;
  /** The breaker's last failure, where it is open. */
  breakerOpen(): string | undefined;
  /** Milliseconds after which a miss is worth another try. */
  retryAfterMs(): number;
  token(slot: Slot): string;
}

export class ReserveDesk {
  readonly #shard: OwnedShard;
  readonly #slots: SlotTable;
  readonly #policy: DeskPolicy;
  readonly #meters: ReserveMeters;
  readonly #waiters: FairQueue<Request>;
  readonly #refusals = new Refusals();
  readonly #grants = new Map<string, Grant>();

  constructor(shard: OwnedShard, slots: SlotTable, policy: DeskPolicy, meters: ReserveMeters) {
    this.#shard = shard;
    this.#slots = slots;
    this.#policy = policy;
    this.#meters = meters;
    this.#waiters = new FairQueue({ max: policy.spec().waitersMax });
  }

  get waiting(): number {
    return this.#waiters.size;
  }
  waitingOf(org: string): number {
    return this.#waiters.sizeOf(org);
  }
  /** Waiters by org, `most` orgs at the most. */
  waitingByOrg(most: number): readonly (readonly [string, number])[] {
    return [...this.#waiters.orgs()].slice(0, most).map((org) => [org, this.#waiters.sizeOf(org)]);
  }
  refused(nowMs: number): number {
    return this.#refusals.count(nowMs);
  }
  oldestWaitMs(nowMs: number): number {
    const oldest = this.#waiters.oldest();
    return oldest === undefined ? 0 : nowMs - oldest.sinceMs;
  }

  /** One reserve request, or its repeat. */
  reserve(turn: Turn, command: Command, body: ReserveCommand): void {
    const key = requestKey(body.org, body.requestId);
    const live = this.#slots.ofRequest(key);
    const slot = live === undefined ? undefined : this.#slots.get(turn, live);
    if (slot !== undefined) return this.#again(turn, command, body, slot, key);
    const ended = turn.get(endedKind, key);
    if (ended !== undefined) return turn.answer(command, endedAnswer(ended.reason));
    const waiter = this.#waiters.get(body.org, body.requestId);
    if (waiter !== undefined) return this.#touch(waiter, command);
    const request: Request = { key, body, sinceMs: turn.nowMs - body.waitedMs, arrivedMs: turn.nowMs, commands: [command], candidates: 0 };
    this.#place(turn, request);
  }

  cancel(turn: Turn, command: Command, org: string, requestId: string): void {
    const key = requestKey(org, requestId);
    this.#refusals.remove(org, key);
    const waiter = this.#dequeue(org, requestId);
    if (waiter !== undefined) for (const open of waiter.commands) turn.answer(open, endedAnswer('cancelled'));
    const live = this.#slots.ofRequest(key);
    if (live !== undefined) this.#slots.change(turn, live, { type: 'reservation.cancelled' });
    // A request that is not there yet may still be on its way: it is ended before it begins.
    if (turn.get(endedKind, key) === undefined) turn.put(endedKind, key, { reason: 'cancelled' });
    turn.answer(command, { ok: true });
  }

  release(turn: Turn, command: Command, refs: readonly ReservationRef[]): void {
    const recycle = this.#policy.spec().recycle;
    const results = refs.map((ref): RefResult => {
      const found = this.#find(turn, ref);
      if ('error' in found) return { id: ref.id, ok: false, error: found.error };
      this.#slots.change(turn, found.id, { type: 'reservation.released', recycle });
      return { id: ref.id, ok: true };
    });
    turn.answer(command, { ok: true, results });
  }

  renew(turn: Turn, command: Command, refs: readonly ReservationRef[]): void {
    const results = refs.map((ref): RefResult => {
      const found = this.#find(turn, ref);
      if ('error' in found) return { id: ref.id, ok: false, error: found.error };
      this.#slots.renewLease(found);
      return { id: ref.id, ok: true, ttlMs: found.reservation?.ttlMs ?? 0 };
    });
    turn.answerLazily(command, { ok: true, results }, BUDGETS.renewConfirmMs);
  }

  /** What a slot's change means to those who wait; called for every change. */
  changed(turn: Turn, change: SlotChange): void {
    const grant = this.#grants.get(change.id);
    if (grant !== undefined && change.after.state !== 'reserved.activating' && change.after.state !== 'reserved.active') {
      this.#grants.delete(change.id);
      this.#lostInActivation(turn, grant, change.after);
    }
    if (change.after.state === 'warm') this.serve(turn);
    if (change.after.state === 'reserved.parked' && change.after.org !== null) this.#serveParked(turn, change.after.org);
    this.#makeRoom(turn);
  }

  /** Gives warm slots to waiters for as long as there are both. */
  serve(turn: Turn): void {
    for (let given = 0; ; given += 1) {
      if (given >= SLICE) return this.#shard.setTimer('serve', 0, 'internal', (later) => this.serve(later));
      const id = this.#slots.candidate();
      if (id === undefined || this.#waiters.size === 0) return;
      const request = this.#waiters.take();
      if (request === undefined) return;
      this.#unwait(request);
      this.#take(turn, id, request, 'waited');
    }
  }

  /** The pool is paused: whoever waits goes away. */
  sendAway(turn: Turn): void {
    for (let request = this.#waiters.take(); request !== undefined; request = this.#waiters.take()) {
      this.#unwait(request);
      this.#miss(turn, request, 'pool-paused');
    }
  }

  /** After a cap was lowered: the newest waiters beyond it go away. */
  applyCaps(turn: Turn): void {
    this.#waiters.resize(this.#policy.spec().waitersMax);
    for (const org of this.#waiters.orgs()) {
      const { max } = this.#policy.org(org);
      while (max > 0 && this.#slots.ofOrg(org) + this.#waiters.sizeOf(org) > max) {
        const newest = this.#waiters.newestOf(org);
        if (newest === undefined) break;
        this.#dequeue(org, newest.body.requestId);
        this.#miss(turn, newest, 'org-cap');
      }
    }
  }

  /** What to tell the worker of a grant; undefined where this owner has none (it was granted by another) or has told it. */
  activationOf(
    slot: Slot,
  ): { readonly token: string; readonly activation: Readonly<Record<string, unknown>>; readonly isInherited: boolean } | undefined {
    const grant = this.#grants.get(slot.id);
    if (grant === undefined || grant.token !== undefined) return undefined;
    grant.token = this.#policy.token(slot);
    return { token: grant.token, activation: grant.request.body.activation ?? {}, isInherited: grant.isInherited };
  }

  /** False also where an owner before this one granted it: its client may have been told. */
  isGrantedHere(id: string): boolean {
    return this.#grants.get(id)?.isInherited === false;
  }

  /** The worker's answer to the activation of `epoch`. */
  activated(id: string, epoch: number, yes: WorkerYes): void {
    this.#shard.turn((turn) => {
      turn.mayWait(BUDGETS.noteMs);
      const slot = this.#slots.get(turn, id);
      if (slot === undefined || slot.epoch !== epoch) return;
      const grant = this.#grants.get(id);
      // It may be noted already: a new owner hears it in a beat while it tells the worker again for who asked again.
      const isNoted = slot.state === 'reserved.active';
      if (yes.kind === 'activated' && grant !== undefined && (isNoted || slot.state === 'reserved.activating')) {
        this.#grants.delete(id);
        this.#granted(turn, grant, slot);
      }
      if (slot.state !== 'reserved.activating') return;
      if (yes.kind === 'activated') return void this.#slots.change(turn, id, { type: 'worker.activated' });
      this.#grants.delete(id);
      this.#slots.change(turn, id, { type: 'activation.failed', detail: yes.detail });
      if (grant === undefined) return;
      if (grant.isInherited) {
        turn.put(endedKind, grant.request.key, { reason: 'activation-failed' });
        return this.#ended(turn, grant, 'activation-failed');
      }
      if (yes.kind === 'refused-request') return this.#miss(turn, grant.request, 'activation-failed', yes.detail);
      this.#next(turn, grant, yes.detail);
    });
  }

  #again(turn: Turn, command: Command, body: ReserveCommand, slot: Slot, key: string): void {
    // The answer gives the whole lease, to be counted from this question.
    this.#slots.renewLease(slot);
    if (slot.state === 'reserved.active') return turn.answer(command, this.#yes(slot, slot.reservation?.source ?? 'warm', 0));
    const grant = this.#grants.get(slot.id);
    if (grant !== undefined) return this.#touch(grant.request, command);
    // Granted by an owner that was lost in the middle: this try carries the activation again, and completes it.
    const request: Request = { key, body, sinceMs: turn.nowMs - body.waitedMs, arrivedMs: turn.nowMs, commands: [command], candidates: 1 };
    this.#grants.set(slot.id, {
      request,
      source: slot.reservation?.source ?? 'warm',
      waitedMs: body.waitedMs,
      isInherited: true,
      token: undefined,
      commit: undefined,
    });
    turn.afterCommit(() => this.#activate(slot.id));
  }

  #activate: (id: string) => void = () => {};
  /** How a grant's worker is told; set once, by the worker link. */
  onActivate(activate: (id: string) => void): void {
    this.#activate = activate;
  }

  #place(turn: Turn, request: Request): void {
    if (this.#policy.isPaused()) return this.#miss(turn, request, 'pool-paused');
    const { org } = request.body;
    const spec = this.#policy.spec();
    for (const id of this.#slots.parkedOf(org)) {
      if (this.#slots.get(turn, id)?.templateHash === spec.templateHash && !this.#slots.silent.has(id)) {
        return this.#take(turn, id, request, 'parked');
      }
      this.#slots.change(turn, id, { type: 'drain.ordered', reason: 'old-template' });
    }
    const { max, weight } = this.#policy.org(org);
    if (max > 0 && this.#slots.ofOrg(org) + this.#waiters.sizeOf(org) >= max) return this.#miss(turn, request, 'org-cap');
    const id = this.#slots.candidate();
    if (id !== undefined && this.#waiters.size === 0) return this.#take(turn, id, request, 'warm');
    const waitMs = Math.min(request.body.waitMs, spec.waitMaxMs);
    const leftMs = waitMs - request.body.waitedMs;
    if (waitMs === 0 || leftMs <= 0) return this.#miss(turn, request, this.#whyNothing());
    const isQueued = this.#waiters.add({ org, id: request.body.requestId, weight, sinceMs: request.sinceMs, value: request });
    if (!isQueued) return this.#miss(turn, request, 'overloaded');
    this.#refusals.remove(org, request.key);
    this.#shard.setTimer(`wait:${request.key}`, leftMs, 'internal', (later) => this.#giveUp(later, request));
    this.#touch(request, undefined);
    this.#makeRoom(turn);
  }

  #take(turn: Turn, id: string, request: Request, source: Source): void {
    const { org, requestId } = request.body;
    const ttlMs = request.body.ttlMs ?? this.#policy.spec().leaseTtlMs;
    const waitedMs = source === 'waited' ? Math.max(0, Math.round(turn.nowMs - request.sinceMs)) : 0;
    request.candidates += 1;
    const grant: Grant = { request, source, waitedMs, isInherited: false, token: undefined, commit: undefined };
    this.#grants.set(id, grant);
    turn.afterCommit((commit) => {
      grant.commit = commit;
    });
    this.#refusals.granted(org, request.key);
    const slot = this.#slots.change(turn, id, { type: 'slot.reserved', org, requestId, ttlMs, source });
    if (slot === undefined) throw new Error(`slot ${id} was a candidate and could not be reserved`);
  }

  /** The next candidate for a request whose worker failed, inside the same call. */
  #next(turn: Turn, grant: Grant, detail: string): void {
    const { request } = grant;
    if (request.commands.every((command) => command.isSettled) || request.candidates >= CANDIDATES_MAX) {
      return this.#miss(turn, request, 'activation-failed', detail);
    }
    this.#place(turn, request);
  }

  /** The slot of a grant went away before its worker had said yes. */
  #lostInActivation(turn: Turn, grant: Grant, after: Slot): void {
    const reason = after.lastEnd?.reason;
    const isOver = reason === 'released' || reason === 'cancelled' || reason === 'lease-expired';
    if (isOver || (reason === 'worker-lost' && grant.isInherited)) {
      this.#ended(turn, grant, reason);
    } else if (reason === 'worker-lost') {
      turn.delete(endedKind, grant.request.key);
      this.#next(turn, grant, after.detail ?? reason);
    }
  }

  #ended(turn: Turn, { request }: Grant, reason: EndReason): void {
    for (const command of request.commands) turn.answer(command, endedAnswer(reason));
  }

  #touch(request: Request, command: Command | undefined): void {
    if (command !== undefined) {
      request.commands.push(command);
      if (request.commands.length > OPEN_ANSWERS_MAX) request.commands.shift();
    }
    const { org, requestId } = request.body;
    if (this.#waiters.get(org, requestId) === undefined) return;
    this.#shard.setTimer(`touch:${request.key}`, BUDGETS.waiterLeavesMs, 'external', (turn) => this.#giveUp(turn, request));
  }

  #giveUp(turn: Turn, request: Request): void {
    const { org, requestId } = request.body;
    const position = this.#waiters.position(org, requestId);
    if (this.#dequeue(org, requestId) === undefined) return;
    this.#miss(turn, request, this.#whyNothing(), undefined, position);
  }

  #dequeue(org: string, requestId: string): Request | undefined {
    const request = this.#waiters.remove(org, requestId);
    if (request !== undefined) this.#unwait(request);
    return request;
  }

  #unwait(request: Request): void {
    this.#shard.clearTimer(`wait:${request.key}`);
    this.#shard.clearTimer(`touch:${request.key}`);
  }

  #serveParked(turn: Turn, org: string): void {
    const waiter = this.#waiters.oldestOf(org);
    const [parked] = this.#slots.parkedOf(org);
    if (waiter === undefined || parked === undefined) return;
    this.#dequeue(org, waiter.body.requestId);
    this.#place(turn, waiter);
  }

  /** At the cap, parked slots of orgs that want nothing make room for those that do (DESIGN 6.2, step 5). */
  #makeRoom(turn: Turn): void {
    // The cheap question first: this is asked at every change.
    if (this.#slots.parked.size === 0 || (this.#waiters.size === 0 && this.#refusals.isEmpty)) return;
    const ceiling = this.#policy.ceiling();
    if (ceiling === undefined || this.#slots.alive < ceiling) return;
    const wanted = this.#waiters.size + this.#refusals.count(turn.nowMs);
    let room = Math.min(SLICE, wanted - this.#slots.count('warm', 'spawning', 'draining'));
    for (const [id, org] of this.#slots.parked) {
      if (room <= 0) return;
      if (this.#waiters.sizeOf(org) > 0) continue;
      room -= 1;
      this.#slots.change(turn, id, { type: 'drain.ordered', reason: 'make-room' });
    }
  }

  #whyNothing(): MissReason {
    if (this.#policy.breakerOpen() !== undefined) return 'spawn-failing';
    const ceiling = this.#policy.ceiling();
    return ceiling !== undefined && this.#slots.alive >= ceiling ? 'pool-cap' : 'warm-capacity-exhausted';
  }

  #miss(turn: Turn, request: Request, reason: MissReason, detail?: string, position?: number): void {
    const { org, isIdGiven, requestId } = request.body;
    const retryAfterMs = this.#policy.retryAfterMs();
    if (reason === 'warm-capacity-exhausted' || reason === 'pool-cap') {
      const { max } = this.#policy.org(org);
      const room = max > 0 ? Math.max(0, max - this.#slots.ofOrg(org)) : Number.POSITIVE_INFINITY;
      const key = isIdGiven ? requestKey(org, requestId) : org;
      this.#refusals.add(org, key, turn.nowMs, retryAfterMs, Math.min(room, this.#policy.spec().refusedPerOrgMax));
      this.#makeRoom(turn);
    }
    const said = detail ?? (reason === 'spawn-failing' ? this.#policy.breakerOpen() : undefined);
    const miss: Miss = {
      reason,
      retryAfterMs,
      ...(position === undefined ? {} : { position }),
      ...(said === undefined ? {} : { detail: said }),
    };
    const { name } = this.#policy.spec();
    this.#meters.missed(name, reason);
    this.#meters.reserved(name, reason, 'none', (turn.nowMs - request.arrivedMs) / 1_000);
    const answer: ReserveAnswer = { ok: false, miss };
    for (const command of request.commands) turn.answer(command, answer);
  }

  /** The answer hangs on the commit that made the grant, not on the one that notes that it is active. */
  #granted(turn: Turn, { request, source, waitedMs, token, commit }: Grant, slot: Slot): void {
    const answer = this.#yes(slot, source, waitedMs, token);
    this.#meters.reserved(slot.pool, 'granted', source, (turn.nowMs - request.arrivedMs) / 1_000);
    for (const command of request.commands) {
      if (commit === undefined) turn.answer(command, answer);
      else turn.answerSince(command, answer, commit);
    }
  }

  #yes(slot: Slot, source: Source, waitedMs: number, token = this.#policy.token(slot)): ReserveAnswer {
    if (slot.reservation === null || slot.org === null) throw new Error(`slot ${slot.id} has no reservation to answer with`);
    return {
      ok: true,
      reservation: {
        id: slot.reservation.id,
        slot: slot.id,
        org: slot.org,
        epoch: slot.epoch,
        endpoint: slot.endpoint ?? '',
        token,
        subject: subjects.reservation(slot.reservation.id),
        ttlMs: slot.reservation.ttlMs,
      },
      source,
      waitedMs,
    };
  }

  #find(turn: Turn, ref: ReservationRef): Slot | { readonly error: { code: string; message: string; reason?: string } } {
    const slot = this.#slots.get(turn, trySlotOf(ref.id) ?? '');
    if (slot === undefined) return { error: { code: 'ended', message: `reservation ${ref.id} has ended`, reason: 'gone' } };
    if (slot.reservation?.id === ref.id && slot.epoch === ref.epoch) return slot;
    if (slot.epoch === ref.epoch && slot.lastEnd !== null) {
      return { error: { code: 'ended', message: `reservation ${ref.id} has ended: ${slot.lastEnd.reason}`, reason: slot.lastEnd.reason } };
    }
    return { error: { code: 'stale-epoch', message: `reservation ${ref.id} is at epoch ${ref.epoch}, its slot at ${slot.epoch}` } };
  }
}

function endedAnswer(reason: string): ReserveAnswer {
  return { ok: false, error: { code: 'ended', message: `the request has ended: ${reason}`, reason } };
}
