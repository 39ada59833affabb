// The janitor: turns the misses of all replicas into one scale-up, shrinks what is idle, and keeps what is configured.
//
// Invariants:
//   J1. It decides from the latest cut of each shard and its own journal, from nothing else; a shard without a cut waits.
//   J2. Every decision is an intent in its journal before anybody acts on it.
//   J3. What is ordered and not yet seen in a cut counts as supply (open orders).
//   J4. A new janitor shrinks nothing for one full window: what has been idle counts from its own observation.
import {
  BUDGETS,
  type ClusterConfig,
  ownOf,
  type PoolSpec,
  roomOf,
  type ShardSupply,
  shareOf,
  slotsToDrain,
  slotsToStart,
  surgeOf,
  surplusOf,
} from '@muster/domain';
import type { BusMessage } from '@muster/ports';
import {
  type Cut,
  isSameConfig,
  JANITOR_SHARD,
  type JanitorCommand,
  janitorCommandSchema,
  type MusterError,
  parse,
  problemsOfChange,
  shardsOf,
  subjects,
} from '@muster/protocol';
import type { Command, OwnedShard, ShardDefinition, ShardSession, Turn } from '@muster/runtime';
import {
  CONFIG_ID,
  type ConfigRecord,
  configKind,
  holdKind,
  type Intent,
  type IntentKind,
  type IntentPart,
  intentKind,
  janitorStateKind,
  pauseKind,
  STATE_ID,
} from '../kinds.ts';
import type { PoolMeters } from '../meters.ts';
import { CutBoard } from './cut-board.ts';
import { OpenOrders } from './open-orders.ts';

const MAILBOX_MAX = 1_000;
/** A burst that goes on is waited for, for so many windows. */
const WINDOW_MAX = 4;
/** Slots that one intent starts or drains in one shard, so that what it makes fits one record; more is the next intent's. */
const STARTS_MAX = 1_000;

export interface JanitorOptions {
  /** What a new cluster begins with; one that exists has its own. */
  readonly initialConfig: ClusterConfig;
  readonly meters: PoolMeters;
}

/** The janitor's shard for the runtime to run wherever it is owned. */
export function janitorShard(options: JanitorOptions): ShardDefinition {
  return {
    shard: JANITOR_SHARD,
    kinds: [configKind, intentKind, janitorStateKind, holdKind, pauseKind],
    open: (shard, turn) => new Janitor(shard, turn, options),
  };
}

/** The shards of one pool with their latest cuts; those that have none are left out. */
interface View {
  readonly shard: string;
  readonly cut: Cut;
  readonly supply: ShardSupply;
}

class Janitor implements ShardSession {
  readonly mailboxMax = MAILBOX_MAX;
  readonly #shard: OwnedShard;
  readonly #meters: PoolMeters;
  readonly #cuts: CutBoard;
  readonly #orders = new OpenOrders();
  /** Since when a shard has had more warm slots than anybody wants. */
  readonly #surplusSinceMs = new Map<string, number>();
  readonly #shrunkAtMs = new Map<string, number>();
  readonly #saidCapacity = new Map<string, string>();
  #isWindowOpen = false;
  /** When demand last grew. */
  #grewAtMs = Number.NEGATIVE_INFINITY;

  constructor(shard: OwnedShard, turn: Turn, options: JanitorOptions) {
    this.#shard = shard;
    this.#meters = options.meters;
    this.#cuts = new CutBoard((of) => shard.shadow(of));
    if (turn.get(configKind, CONFIG_ID) === undefined) {
      turn.put(configKind, CONFIG_ID, { version: 1, config: options.initialConfig, retired: {} });
      turn.put(janitorStateKind, STATE_ID, { intents: 0 });
    }
    for (const [, intent] of turn.list(intentKind)) this.#orders.add(intent);
    for (const [pool, hold] of turn.list(holdKind)) {
      this.#armHold(pool, Math.max(0, hold.holdMs - shard.elapsedInStateMs(holdKind, pool)));
    }
    shard.subscribe(subjects.misses(), (message) => this.#hear(message));
    this.#armTick();
  }

  command(turn: Turn, command: Command): void {
    let body: JanitorCommand;
    try {
      body = parse(janitorCommandSchema, command.body);
    } catch (error) {
      const { message, field } = error as MusterError;
      return turn.answerAtOnce(command, { ok: false, error: { code: 'bad-request', message, ...(field === undefined ? {} : { field }) } });
    }
    switch (body.type) {
      case 'hold':
      case 'resume':
        return this.#hold(turn, command, body.pool, body.type === 'hold' ? (body.holdMs ?? BUDGETS.holdMs) : undefined);
      case 'pause':
        return this.#pause(turn, command, body.pool);
      case 'apply':
        return this.#apply(turn, command, body.config as ClusterConfig);
    }
  }

  effect(): void {
    throw new Error('the janitor has no actors');
  }
  quarantined(): void {
    throw new Error('the janitor has no actors');
  }
  close(): void {}

  // --- hearing -----------------------------------------------------------------------------------------------------

  #hear(message: BusMessage): void {
    let cut: Cut | undefined;
    let before: Cut | undefined;
    try {
      before = this.#cuts.get(message.subject.split('.')[3] ?? '');
      cut = this.#cuts.accept(message);
    } catch (error) {
      return this.#shard.logger.warn({ subject: message.subject, error: String(error) }, 'a cut cannot be read');
    }
    if (cut === undefined) return;
    this.#orders.applied(cut.shard, cut.intentApplied);
    const { shard } = cut;
    if (cut.waiting + cut.refused > (before?.waiting ?? 0) + (before?.refused ?? 0)) this.#grewAtMs = this.#shard.clock.monotonicMs();
    this.#shard.turn((turn) => {
      this.#noteSurplus(turn, shard);
      if (!this.#isWindowOpen) this.#openWindowIfNeeded(turn);
    });
  }

  /** All that is missed within the window becomes one intent. */
  #openWindowIfNeeded(turn: Turn): void {
    for (const [pool, spec] of this.#pools(turn)) {
      if (this.#isHeld(turn, pool)) continue;
      if (this.#views(turn, pool, spec).some((view) => this.#partsWanted(view, spec) !== undefined)) return this.#openWindow();
    }
  }

  /** Closes when nothing more has come for a window's length, or after four of them. */
  #openWindow(leftMs: number = WINDOW_MAX * BUDGETS.coalesceMs): void {
    this.#isWindowOpen = true;
    this.#shard.setTimer('window', BUDGETS.coalesceMs, 'internal', (turn) => {
      const isGrowing = turn.nowMs - this.#grewAtMs < BUDGETS.coalesceMs;
      if (isGrowing && leftMs > BUDGETS.coalesceMs) return this.#openWindow(leftMs - BUDGETS.coalesceMs);
      this.#isWindowOpen = false;
      this.#decide(turn);
    });
  }

  #armTick(): void {
    this.#shard.setTimer('tick', BUDGETS.tickMs, 'internal', (turn) => {
      this.#armTick();
      for (const [pool, spec] of this.#pools(turn)) for (const shard of shardsOf(pool, spec.shards)) this.#noteSurplus(turn, shard);
      this.#decide(turn);
      this.#shrink(turn);
    });
  }

  // --- deciding ----------------------------------------------------------------------------------------------------

  #decide(turn: Turn): void {
    for (const [pool, spec] of this.#pools(turn)) {
      if (this.#isHeld(turn, pool)) continue;
      const byKind = new Map<IntentKind, Record<string, IntentPart>>();
      for (const view of this.#views(turn, pool, spec)) {
        this.#sayCapacity(pool, spec, view.cut);
        const wanted = this.#partsWanted(view, spec);
        if (wanted === undefined) continue;
        const parts = byKind.get(wanted.kind) ?? {};
        parts[view.shard] = { start: wanted.start, drain: 0, inputs: inputsOf(view) };
        byKind.set(wanted.kind, parts);
      }
      for (const [kind, parts] of byKind) this.#intend(turn, pool, kind, parts);
    }
  }

  #partsWanted(view: View, spec: PoolSpec): { readonly kind: IntentKind; readonly start: number } | undefined {
    const { cut, supply } = view;
    if (cut.breaker.isOpen) {
      const isWanted = supply.waiting + supply.refused > 0 || supply.warm < supply.floor;
      const isFree = cut.breaker.isProbeDue && !this.#orders.isOpen(view.shard) && roomOf(supply) > 0;
      return isWanted && isFree ? { kind: 'probe', start: 1 } : undefined;
    }
    const start = Math.min(slotsToStart(supply), STARTS_MAX);
    if (start > 0) return { kind: 'demand', start };
    if (this.#orders.isOpen(view.shard)) return undefined;
    const surge = Math.min(surgeOf(supply.floor, spec.surge, cut.warmOldTemplate) - supply.spawning, roomOf(supply));
    return surge > 0 ? { kind: 'surge', start: surge } : undefined;
  }

  #shrink(turn: Turn): void {
    for (const [pool, spec] of this.#pools(turn)) {
      if (this.#isHeld(turn, pool)) continue;
      const parts: Record<string, IntentPart> = {};
      for (const view of this.#views(turn, pool, spec)) {
        const sinceMs = this.#surplusSinceMs.get(view.shard);
        const lastMs = this.#shrunkAtMs.get(view.shard) ?? Number.NEGATIVE_INFINITY;
        if (sinceMs === undefined || this.#orders.isOpen(view.shard)) continue;
        if (turn.nowMs - sinceMs < spec.scaleDown.afterMs || turn.nowMs - lastMs < spec.scaleDown.everyMs) continue;
        const drain = Math.min(slotsToDrain(surplusOf(view.supply)), STARTS_MAX);
        if (drain === 0) continue;
        parts[view.shard] = { start: 0, drain, inputs: inputsOf(view) };
        this.#shrunkAtMs.set(view.shard, turn.nowMs);
      }
      if (Object.keys(parts).length > 0) this.#intend(turn, pool, 'down', parts);
    }
  }

  #intend(turn: Turn, pool: string, kind: IntentKind, parts: Readonly<Record<string, IntentPart>>): void {
    const n = (turn.get(janitorStateKind, STATE_ID)?.intents ?? 0) + 1;
    const intent: Intent = { n, pool, kind, decidedAtMs: this.#shard.clock.wallMs(), parts };
    turn.put(janitorStateKind, STATE_ID, { intents: n });
    turn.put(intentKind, String(n), intent);
    this.#orders.add(intent);
    turn.afterCommit(() => {
      this.#meters.decided(pool, kind);
      this.#shard.logger.info({ intent: n, pool, kind, parts }, 'an intent was decided');
    });
  }

  #noteSurplus(turn: Turn, shard: string): void {
    const cut = this.#cuts.get(shard);
    const spec = cut === undefined ? undefined : ownOf(this.#config(turn).config.pools, cut.pool);
    if (cut === undefined || spec === undefined) return;
    const view = this.#view(cut, spec, shardsOf(cut.pool, spec.shards).indexOf(shard));
    if (surplusOf(view.supply) === 0) this.#surplusSinceMs.delete(shard);
    else if (!this.#surplusSinceMs.has(shard)) this.#surplusSinceMs.set(shard, turn.nowMs);
  }

  #pools(turn: Turn): readonly (readonly [string, PoolSpec])[] {
    return Object.entries(this.#config(turn).config.pools);
  }

  #config(turn: Turn): ConfigRecord {
    const record = turn.get(configKind, CONFIG_ID);
    if (record === undefined) throw new Error('the janitor has no configuration');
    return record;
  }

  #views(turn: Turn, pool: string, spec: PoolSpec): readonly View[] {
    const { version } = this.#config(turn);
    return shardsOf(pool, spec.shards).flatMap((shard, part) => {
      const cut = this.#cuts.get(shard);
      return cut === undefined || cut.configVersion !== version ? [] : [this.#view(cut, spec, part)];
    });
  }

  #view(cut: Cut, spec: PoolSpec, part: number): View {
    const supply = {
      floor: shareOf(spec.floor, spec.shards, part),
      ceiling: cut.capacity,
      waiting: cut.waiting,
      refused: cut.refused,
      warm: cut.warm,
      spawning: cut.spawning,
      alive: cut.alive,
      ordered: this.#orders.of(cut.shard),
    };
    return { shard: cut.shard, cut, supply };
  }

  /** What bounds a pool without `max`, said when it is first known and when it changes (DESIGN 7.2). */
  #sayCapacity(pool: string, spec: PoolSpec, cut: Cut): void {
    const { capacity } = cut;
    const said = capacity.kind === 'unbounded' ? 'unbounded' : capacity.why;
    if (this.#saidCapacity.get(cut.shard) === said) return;
    this.#saidCapacity.set(cut.shard, said);
    const { logger } = this.#shard;
    if (capacity.kind === 'unbounded') {
      logger.info({ pool }, `pools.${pool}.max unset; worker pool is unbounded: the cluster autoscaler is the ceiling`);
    } else if (spec.max === 0 && capacity.kind === 'bounded') {
      logger.info(
        { pool, max: capacity.max, why: capacity.why },
        `pools.${pool}.max unset; worker pool is bounded by the memory of its hosts`,
      );
    } else if (capacity.kind === 'unknown') {
      logger.info({ pool, why: capacity.why }, `pools.${pool}: nothing is started until what bounds it is known`);
    }
    if (capacity.kind === 'bounded' && spec.floor > capacity.max && spec.shards === 1) {
      logger.warn({ pool, floor: spec.floor, max: capacity.max }, 'the floor is held down to what bounds the pool');
    }
  }

  // --- holding and configuring ---------------------------------------------------------------------------------------

  #isHeld(turn: Turn, pool: string): boolean {
    return turn.get(holdKind, pool) !== undefined;
  }

  #hold(turn: Turn, command: Command, pool: string, holdMs: number | undefined): void {
    if (!this.#isPool(turn, command, pool)) return;
    if (holdMs !== undefined) {
      turn.put(holdKind, pool, { holdMs });
      this.#armHold(pool, holdMs);
    } else {
      turn.delete(holdKind, pool);
      turn.delete(pauseKind, pool);
      this.#shard.clearTimer(`hold:${pool}`);
      if (!this.#isWindowOpen) this.#openWindow();
    }
    turn.answer(command, { ok: true });
  }

  #pause(turn: Turn, command: Command, pool: string): void {
    if (!this.#isPool(turn, command, pool)) return;
    turn.put(pauseKind, pool, {});
    turn.answer(command, { ok: true });
  }

  /** False, and answered, where there is no such pool. */
  #isPool(turn: Turn, command: Command, pool: string): boolean {
    if (ownOf(this.#config(turn).config.pools, pool) !== undefined) return true;
    turn.answer(command, { ok: false, error: { code: 'not-found', message: `there is no pool ${pool}`, field: 'pool' } });
    return false;
  }

  #armHold(pool: string, delayMs: number): void {
    this.#shard.setTimer(`hold:${pool}`, delayMs, 'internal', (turn) => {
      turn.delete(holdKind, pool);
      this.#shard.logger.warn({ pool }, 'a hold ran out: the pool scales again');
    });
  }

  #apply(turn: Turn, command: Command, config: ClusterConfig): void {
    const before = this.#config(turn);
    const problems = problemsOfChange({ ...before.config, pools: { ...before.retired, ...before.config.pools } }, config);
    const [problem] = problems;
    if (problem !== undefined) {
      const message = problems.map((one) => `${one.path}: ${one.message}`).join('; ');
      return turn.answer(command, { ok: false, error: { code: 'conflict', message, field: problem.path } });
    }
    if (isSameConfig(before.config, config)) return turn.answer(command, { ok: true, version: before.version, isChanged: false });
    const version = before.version + 1;
    const retired = { ...before.retired, ...before.config.pools };
    for (const pool of Object.keys(config.pools)) delete retired[pool];
    turn.put(configKind, CONFIG_ID, { version, config, retired });
    // A pool of that name that comes later is another one.
    const pools = new Set(Object.keys(config.pools));
    for (const pool of [...turn.list(pauseKind)].map(([id]) => id).filter((id) => !pools.has(id))) turn.delete(pauseKind, pool);
    turn.answer(command, { ok: true, version, isChanged: true });
  }
}

function inputsOf({ cut, supply }: View): IntentPart['inputs'] {
  const { ceiling, ...numbers } = supply;
  return {
    ...numbers,
    ceiling: ceiling.kind === 'bounded' ? ceiling.max : ceiling.kind,
    cutEpoch: cut.epoch,
    cutSeq: cut.seq,
    reserved: cut.reserved,
    parked: cut.parked,
    draining: cut.draining,
    warmOldTemplate: cut.warmOldTemplate,
  };
}
