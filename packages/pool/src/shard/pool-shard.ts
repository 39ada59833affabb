// One shard of a pool, as its owner runs it: puts the parts of this room together.
//
// The table holds the slots, the desk gives them out, the link talks to the workers, the reconciler starts and stops them,
// the reporter tells the janitor; what the janitor decides is read from its journal, strictly in order.
// Invariants:
//   P1. Only an intent creates a slot; each is applied once (`intentApplied` is in the same record as what it started).
//   P2. The live slots never exceed the shard's part of the cap, whatever an intent says.
import {
  BUDGETS,
  type Ceiling,
  type ClusterConfig,
  isHeld,
  type OrgSpec,
  ownOf,
  type PoolSpec,
  type SlotEvent,
  shareOf,
} from '@muster/domain';
import type { HttpCaller, WorkerDriver } from '@muster/ports';
import {
  CLIENT_COMMANDS,
  CUT_NAMES_MAX,
  encode,
  JANITOR_SHARD,
  type Miss,
  type MusterError,
  parse,
  type ShardCommand,
  shardCommandSchema,
  subjects,
} from '@muster/protocol';
import type { Command, Effect, OwnedShard, Shadow, ShardDefinition, ShardSession, Turn } from '@muster/runtime';
import type { LimitFunction } from 'p-limit';
import {
  appliedKind,
  CONFIG_ID,
  configKind,
  endedKind,
  type Intent,
  type IntentPart,
  intentKind,
  janitorStateKind,
  pauseKind,
  type PoolState,
  poolStateKind,
  STATE_ID,
  slotKind,
  sweepKind,
} from '../kinds.ts';
import type { PoolMeters } from '../meters.ts';
import { type CutNumbers, CutReporter } from './cut-reporter.ts';
import { Reconciler } from './reconciler.ts';
import { ReserveDesk } from './reserve-desk.ts';
import { type SlotChange, SlotTable } from './slot-table.ts';
import { SpawnPace } from './spawn-pace.ts';
import { type Secrets, WorkerLink } from './worker-link.ts';

const MAILBOX_MAX = 20_000;
const SLOT_ID_LENGTH = 8;
/** Slots changed in one turn at the most: its record must fit a message. */
const SLICE = 500;
const NO_PLACE = 'no host takes a worker now';
const NO_ORG: OrgSpec = { max: 0, weight: 1 };

export interface PoolShardOptions {
  readonly shard: string;
  readonly pool: string;
  /** Which part of the pool this shard is, from 0. */
  readonly part: number;
  readonly config: ClusterConfig;
  /** The pool's, also of one that was removed and has slots left. */
  readonly spec: PoolSpec;
  readonly driver: WorkerDriver;
  readonly secrets: Secrets;
  readonly meters: PoolMeters;
  readonly startLimit: LimitFunction;
  /** How workers that say no hello are told. */
  readonly http?: HttpCaller | undefined;
}

/** A shard of a pool for the runtime to run wherever it is owned. */
export function poolShard(options: PoolShardOptions): ShardDefinition {
  return {
    shard: options.shard,
    kinds: [slotKind, endedKind, poolStateKind, sweepKind, appliedKind],
    isForClients: (body) => typeof body === 'object' && body !== null && 'type' in body && CLIENT_COMMANDS.has(body.type),
    open: (shard, turn) => new PoolShard(shard, turn, options),
  };
}

class PoolShard implements ShardSession {
  readonly mailboxMax = MAILBOX_MAX;
  readonly #shard: OwnedShard;
  readonly #options: PoolShardOptions;
  readonly #slots: SlotTable;
  readonly #desk: ReserveDesk;
  readonly #link: WorkerLink;
  readonly #reconciler: Reconciler;
  readonly #reporter: CutReporter;
  readonly #pace: SpawnPace;
  #blockedUntilMs = Number.NEGATIVE_INFINITY;
  #config: ClusterConfig;
  #configVersion: number;
  #isPaused = false;
  /** Of the janitor's journal, where that was read. */
  #pauseSeq = 0;
  #spec: PoolSpec;

  constructor(shard: OwnedShard, turn: Turn, options: PoolShardOptions) {
    this.#shard = shard;
    this.#options = options;
    this.#config = options.config;
    this.#configVersion = 0;
    this.#spec = options.spec;
    this.#pace = new SpawnPace();
    // Before anything is given.
    this.#readPause(shard.shadow(JANITOR_SHARD));
    const current = (): PoolSpec => this.#spec;
    this.#slots = new SlotTable(shard, current, (later, change) => this.#changed(later, change));
    this.#desk = new ReserveDesk(
      shard,
      this.#slots,
      {
        spec: current,
        org: (org) => ownOf(this.#config.orgs, org) ?? NO_ORG,
        ceiling: () => this.#ceiling(),
        isPaused: () => this.#isPaused,
        breakerOpen: () => this.#breakerReason,
        retryAfterMs: () => this.#pace.retryAfterMs,
        token: (slot) => options.secrets.reservationToken(slot.reservation?.id ?? '', slot.id, slot.epoch),
      },
      options.meters,
    );
    this.#link = new WorkerLink({
      shard,
      slots: this.#slots,
      desk: this.#desk,
      secrets: options.secrets,
      http: options.http,
      spec: current,
    });
    this.#reconciler = new Reconciler({
      shard,
      slots: this.#slots,
      link: this.#link,
      driver: options.driver,
      secrets: options.secrets,
      startLimit: options.startLimit,
      spec: current,
      changed: (later, id, event) => void this.#slots.change(later, id, event),
    });
    this.#reporter = new CutReporter(shard, (later) => this.#numbers(later));
    this.#state = turn.get(poolStateKind, STATE_ID) ?? {
      intentApplied: 0,
      configVersion: 0,
      failuresInRow: 0,
      failureReason: null,
      templateHash: options.spec.templateHash,
    };
    this.#open(turn);
  }

  #state: PoolState;

  #open(turn: Turn): void {
    this.#slots.load(turn);
    this.#link.open();
    this.#reconciler.open();
    this.#reporter.open();
    // A new owner does not know how far the effects had come: it runs again what the states imply.
    const slots = [...this.#slots.all(turn)];
    turn.afterCommit(() => {
      for (const slot of slots) {
        if (slot.state === 'spawning') this.#reconciler.start(slot);
        else if (slot.state === 'draining') this.#reconciler.stop(slot);
        else if (slot.state === 'reserved.resetting') this.#link.reset(slot);
        else if (slot.state === 'reserved.activating') this.#link.activate(slot.id);
      }
    });
    this.#shard.watch(JANITOR_SHARD, (later, shadow) => this.#follow(later, shadow));
  }

  /** The pool is no longer configured: what is idle goes, what is reserved goes when its reservation ends. */
  get #isRetired(): boolean {
    return this.#config.pools[this.#options.pool] === undefined;
  }

  /** While all journals are read again it stays what it was. */
  #readPause(janitor: Shadow | undefined): void {
    if (janitor === undefined || janitor.seq < this.#pauseSeq) return;
    this.#pauseSeq = janitor.seq;
    this.#isPaused = janitor.get(pauseKind, this.#options.pool) !== undefined;
  }

  #retireSoon(): void {
    this.#shard.setTimer('retire', 0, 'internal', (turn) => {
      if (!this.#isRetired) return;
      const idle = [...this.#slots.warm, ...this.#slots.warmOld, ...this.#slots.parked.keys()];
      for (const id of idle.slice(0, SLICE)) this.#slots.change(turn, id, { type: 'drain.ordered', reason: 'pool-removed' });
      if (idle.length > SLICE) this.#retireSoon();
    });
  }

  command(turn: Turn, command: Command): void {
    let body: ShardCommand;
    try {
      body = parse(shardCommandSchema, command.body);
    } catch (error) {
      const { message, field } = error as MusterError;
      return turn.answerAtOnce(command, { ok: false, error: { code: 'bad-request', message, ...(field === undefined ? {} : { field }) } });
    }
    switch (body.type) {
      case 'reserve': {
        const miss: Miss = { reason: 'pool-unknown', retryAfterMs: BUDGETS.retryHintMs };
        if (this.#isRetired) return turn.answer(command, { ok: false, miss });
        this.#desk.reserve(turn, command, body);
        break;
      }
      case 'renew':
        return this.#desk.renew(turn, command, body.reservations);
      case 'release':
        this.#desk.release(turn, command, body.reservations);
        break;
      case 'cancel':
        this.#desk.cancel(turn, command, body.org, body.requestId);
        break;
      case 'drain':
        this.#drain(turn, command, body.slot, body.force);
        break;
    }
    this.#reporter.changed();
  }

  effect(actor: { readonly kind: string; readonly id: string }, effect: Effect): void {
    if (effect.type === 'worker.activate') return this.#link.activate(actor.id);
    this.#shard.turn((turn) => {
      const slot = this.#slots.get(turn, actor.id);
      if (slot === undefined) return;
      if (effect.type === 'worker.start' && slot.state === 'spawning') this.#reconciler.start(slot);
      else if (effect.type === 'worker.stop' && slot.state === 'draining') this.#reconciler.stop(slot);
      else if (effect.type === 'worker.reset' && slot.state === 'reserved.resetting') this.#link.reset(slot);
      else if (effect.type === 'worker.release' && slot.state === 'reserved.parked') this.#link.release(slot);
    });
  }

  quarantined(turn: Turn, actor: { readonly kind: string; readonly id: string }, error: unknown): void {
    this.#shard.logger.error({ slot: actor.id, error: String(error) }, 'a slot is quarantined');
    const slot = this.#slots.quarantine(turn, actor.id);
    if (slot !== undefined) turn.afterCommit(() => this.#reconciler.stop(slot));
  }

  turnFailed(turn: Turn): void {
    this.#slots.index(turn);
    this.#state = turn.get(poolStateKind, STATE_ID) ?? this.#state;
    this.#reporter.changed();
  }

  close(): void {
    this.#reconciler.close();
  }

  // --- what changes ------------------------------------------------------------------------------------------------

  #changed(turn: Turn, change: SlotChange): void {
    this.#reporter.changed();
    const { before, after, event } = change;
    if (before?.state === 'spawning' && event !== undefined) this.#spawned(turn, event, after.detail, isHeld(before));
    if (after.org !== null && after.org !== before?.org) turn.afterCommit(() => this.#reconciler.noteOrg(after));
    if (before?.reservation && after.reservation === null && after.lastEnd !== null) {
      const { reason } = after.lastEnd;
      if (reason !== 'released' && reason !== 'cancelled' && reason !== 'activation-failed') {
        const { id } = before.reservation;
        turn.afterCommit(() =>
          this.#shard.bus.publish(subjects.reservationLost(id), encode({ type: 'lost', reason, detail: after.detail })),
        );
      }
    }
    this.#desk.changed(turn, change);
    if (this.#isRetired && (after.state === 'warm' || after.state === 'reserved.parked')) this.#retireSoon();
    if (after.state === 'warm' && before?.state === 'spawning') this.#replaceOld(turn);
  }

  /** A worker of the current template is warm: one of a replaced template may go (make before break). */
  #replaceOld(turn: Turn): void {
    const { warm, warmOld } = this.#slots;
    const [old] = warmOld;
    if (old !== undefined && warm.size + warmOld.size > this.#floor()) {
      this.#slots.change(turn, old, { type: 'drain.ordered', reason: 'old-template' });
    }
  }

  #spawned(turn: Turn, event: SlotEvent, detail: string | null, wasHeld: boolean): void {
    if (event.type === 'worker.ready') {
      this.#pace.ready(turn.nowMs);
      if (this.#state.failuresInRow > 0) this.#put(turn, { failuresInRow: 0, failureReason: null });
      return;
    }
    if (event.type !== 'spawn.failed' && event.type !== 'spawn.timed-out' && event.type !== 'worker.lost') return;
    const reason = detail ?? event.type;
    this.#options.meters.spawnFailed(this.#spec.name, event.type);
    this.#shard.logger.warn({ pool: this.#spec.name, reason }, 'a worker did not come up');
    // A cluster without room says nothing about the template.
    if (wasHeld) return;
    this.#put(turn, { failuresInRow: this.#state.failuresInRow + 1, failureReason: reason.slice(0, 300) });
    if (this.#isBreakerOpen) this.#pace.failed(turn.nowMs);
  }

  #put(turn: Turn, change: Partial<PoolState>): void {
    this.#state = { ...this.#state, ...change };
    turn.put(poolStateKind, STATE_ID, this.#state);
  }

  get #isBreakerOpen(): boolean {
    return this.#state.failuresInRow >= this.#spec.breaker.failures;
  }
  get #breakerReason(): string | undefined {
    return this.#isBreakerOpen ? (this.#state.failureReason ?? 'unknown') : undefined;
  }

  #floor(): number {
    return shareOf(this.#spec.floor, this.#spec.shards, this.#options.part);
  }

  /** What bounds this shard. Where nothing can be placed now it is not known, so that nobody decides again and again. */
  #capacity(nowMs: number): Ceiling {
    const { max, shards, template } = this.#spec;
    const capacity = this.#options.driver.capacity(template);
    if (capacity.kind === 'unknown') return capacity;
    if (nowMs < this.#blockedUntilMs) return { kind: 'unknown', why: NO_PLACE };
    if (max > 0) return { kind: 'bounded', max: shareOf(max, shards, this.#options.part), why: 'max' };
    return capacity.kind === 'bounded' ? { ...capacity, max: shareOf(capacity.max, shards, this.#options.part) } : capacity;
  }

  #ceiling(): number | undefined {
    const capacity = this.#capacity(Number.POSITIVE_INFINITY);
    return capacity.kind === 'bounded' ? capacity.max : undefined;
  }

  #drain(turn: Turn, command: Command, id: string, isForced: boolean): void {
    const slot = this.#slots.get(turn, id);
    const code = slot === undefined ? 'not-found' : 'conflict';
    const done = this.#slots.change(turn, id, { type: 'drain.ordered', reason: 'drained-by-hand', isForced });
    if (done !== undefined || slot?.state === 'draining') return turn.answer(command, { ok: true });
    const message = slot === undefined ? `there is no slot ${id}` : `slot ${id} is ${slot.state}; force drains it with its reservation`;
    turn.answer(command, { ok: false, error: { code, message } });
  }

  // --- what the janitor says ---------------------------------------------------------------------------------------

  #follow(turn: Turn, shadow: Shadow): void {
    const config = shadow.get(configKind, CONFIG_ID)?.value;
    if (config !== undefined && config.version !== this.#configVersion) this.#configure(turn, config.config, config.version);
    const last = shadow.get(janitorStateKind, STATE_ID)?.value.intents ?? 0;
    for (let n = this.#state.intentApplied + 1; n <= last; n += 1) {
      const intent = shadow.get(intentKind, String(n))?.value;
      const part = intent?.parts[this.#shard.shard];
      if (intent !== undefined && part !== undefined) this.#apply(turn, intent, part);
    }
    this.#readPause(shadow);
    if (this.#isPaused) this.#desk.sendAway(turn);
    this.#reporter.janitor(turn, shadow.epoch);
  }

  #configure(turn: Turn, config: ClusterConfig, version: number): void {
    this.#config = config;
    this.#configVersion = version;
    const before = this.#spec;
    const spec = config.pools[this.#options.pool];
    // A pool that was removed wants nothing any more; what is reserved stays until it ends.
    this.#spec = spec ?? { ...before, floor: 0, recycle: 'single-use' };
    const isNewTemplate = this.#spec.templateHash !== this.#state.templateHash;
    this.#put(turn, {
      configVersion: version,
      templateHash: this.#spec.templateHash,
      ...(isNewTemplate ? { failuresInRow: 0, failureReason: null } : {}),
    });
    this.#slots.retemplate(turn);
    this.#desk.applyCaps(turn);
    if (this.#isRetired) this.#retireSoon();
    this.#reporter.changed();
  }

  #apply(turn: Turn, intent: Intent, part: IntentPart): void {
    let started = 0;
    let refused: string | undefined;
    for (; started < part.start; started += 1) {
      const ceiling = this.#ceiling();
      if (ceiling !== undefined && this.#slots.alive >= ceiling) refused = `the cap is ${ceiling}`;
      const placement = this.#options.driver.place(this.#spec.template, this.#slots.onHost);
      if (placement === undefined) {
        refused = NO_PLACE;
        this.#blockedUntilMs = turn.nowMs + BUDGETS.tickMs;
      }
      if (refused !== undefined || placement === undefined) break;
      this.#slots.create(turn, {
        id: `${this.#shard.shard}-${this.#shard.random.id(SLOT_ID_LENGTH)}`,
        pool: this.#spec.name,
        shard: this.#shard.shard,
        templateHash: this.#spec.templateHash,
        intent: intent.n,
        host: placement.host ?? null,
      });
      this.#pace.started(turn.nowMs);
    }
    let drained = 0;
    for (const id of [...this.#slots.warmOld, ...this.#slots.warm]) {
      if (drained >= part.drain || this.#desk.waiting > 0) break;
      if (this.#slots.occupied.has(id)) continue;
      if (this.#slots.change(turn, id, { type: 'drain.ordered', reason: 'scale-down' }) !== undefined) drained += 1;
    }
    turn.put(appliedKind, String(intent.n), { started, drained, refused: part.start - started, reason: refused ?? null });
    this.#put(turn, { intentApplied: intent.n });
    const fields = { intent: intent.n, kind: intent.kind, started, drained, ...(refused === undefined ? {} : { refused }) };
    this.#shard.logger.info(fields, 'an intent was applied');
    this.#reporter.changed();
  }

  #numbers(turn: Turn): CutNumbers {
    const count = (...states: Parameters<SlotTable['count']>) => this.#slots.count(...states);
    const isOpen = this.#isBreakerOpen;
    return {
      pool: this.#spec.name,
      intentApplied: this.#state.intentApplied,
      configVersion: this.#configVersion,
      waiting: this.#desk.waiting,
      refused: this.#desk.refused(turn.nowMs),
      oldestWaitMs: this.#desk.oldestWaitMs(turn.nowMs),
      warm: count('warm'),
      warmOldTemplate: this.#slots.warmOld.size,
      spawning: count('spawning'),
      reserved: count('reserved.activating', 'reserved.active', 'reserved.resetting'),
      parked: count('reserved.parked'),
      draining: count('draining'),
      unreachable: this.#slots.silent.size,
      silent: [...this.#slots.silent].slice(0, CUT_NAMES_MAX),
      waitingOf: Object.fromEntries(this.#desk.waitingByOrg(CUT_NAMES_MAX)),
      alive: this.#slots.alive,
      breaker: {
        isOpen,
        failuresInRow: this.#state.failuresInRow,
        ...(this.#state.failureReason === null ? {} : { reason: this.#state.failureReason }),
        isProbeDue: isOpen && count('spawning') === 0 && this.#pace.isProbeDue(turn.nowMs),
      },
      capacity: this.#capacity(turn.nowMs),
    };
  }
}
