// One synchronous step on the live state of a shard. What it decides is collected here and handed to the chain at its end.
import type { ActorKind, ActorRecord, Command, Commit, Effect, RecordKind, SendResult, Turn } from '../contract.ts';
import type { SetOp } from '../journal/record.ts';
import { type NamedActorTimer, parseTimerSet, TIMERS_KIND, timerId } from './actor-timers.ts';
import type { ActorStep, Actors } from './actors.ts';
import type { Chain, ChainCommit, Release } from './chain.ts';
import type { Inbound } from './command.ts';
import type { LiveState } from './live-state.ts';

/** What a turn needs of its shard. */
export interface TurnHost {
  readonly epoch: number;
  readonly live: LiveState;
  readonly actors: Actors;
  readonly chain: Chain;
  /** Timers of an actor, by name. */
  timersOf(kind: string, id: string): Iterable<string>;
  effect(actor: ActorName, effect: Effect): void;
}

export interface ActorName {
  readonly kind: string;
  readonly id: string;
}

/** What a turn left to do when it ended. */
export interface TurnOutcome {
  readonly set: readonly SetOp[];
  readonly releases: readonly Release[];
  readonly statements: readonly Statement[];
  /** How long its changes may wait for the next record; undefined: not at all. */
  readonly patienceMs: number | undefined;
}

/** An actor that threw twice on one event. */
export interface Quarantined {
  readonly actor: ActorName;
  readonly error: unknown;
}

/** An answer of a turn, and how patient it is. */
export interface Statement {
  readonly release: Release;
  readonly arrival: number;
  /** Undefined: as soon as may be. */
  readonly withinMs: number | undefined;
}

/** Every append was sent after it. */
const ANY_APPEND = -1;
const NOT_ACCEPTED = { isAccepted: false, reply: undefined } as const;

export class LiveTurn implements Turn {
  readonly nowMs: number;
  readonly #host: TurnHost;
  readonly #releases: Release[] = [];
  readonly #statements: Statement[] = [];
  #quarantined: Quarantined[] = [];
  #patienceMs: number | undefined;
  #isOpen = true;

  constructor(host: TurnHost, nowMs: number) {
    this.#host = host;
    this.nowMs = nowMs;
  }

  get<T>(kind: RecordKind<T>, id: string): T | undefined {
    return this.#live().get(kind.kind, id) as T | undefined;
  }

  list<T>(kind: RecordKind<T>): Iterable<readonly [id: string, value: T]> {
    return this.#live().list(kind.kind) as Iterable<readonly [string, T]>;
  }

  count(kind: RecordKind): number {
    return this.#live().count(kind.kind);
  }

  put<T>(kind: RecordKind<T>, id: string, value: T): void {
    if ('machine' in kind) throw new Error(`${kind.kind}/${id} is an actor: it is changed by its events`);
    this.#live().set(kind.kind, id, value);
  }

  delete(kind: RecordKind, id: string): void {
    this.#live().delete(kind.kind, id);
    if ('machine' in kind) this.#clearTimers(kind.kind, id);
  }

  create<C>(kind: ActorKind<C>, id: string, input: unknown): SendResult<C> {
    if (this.#live().get(kind.kind, id) !== undefined) throw new Error(`${kind.kind}/${id} exists`);
    return this.#apply(kind, id, undefined, this.#host.actors.create(kind, input));
  }

  send<C>(kind: ActorKind<C>, id: string, event: { readonly type: string }): SendResult<C> {
    const before = this.get(kind, id);
    if (before === undefined) return { ...NOT_ACCEPTED, before, after: before };
    return this.#apply(kind, id, before, this.#host.actors.send(kind, before as ActorRecord, event));
  }

  mayWait(withinMs: number): void {
    this.#assertOpen();
    this.#patienceMs = withinMs;
  }

  afterCommit(run: (commit: Commit) => void): void {
    this.#assertOpen();
    this.#releases.push({ release: run });
  }

  answer(command: Command, value: unknown): void {
    this.#assertOpen();
    this.#say(command as Inbound, value, undefined);
  }

  answerSince(command: Command, value: unknown, commit: Commit): void {
    this.#assertOpen();
    const inbound = command as Inbound;
    if (this.#host.chain.isCurrent(commit as ChainCommit, inbound.arrival)) inbound.answer(this.#host.epoch, value);
    else this.#say(inbound, value, undefined);
  }

  answerAtOnce(command: Command, value: unknown): void {
    this.#assertOpen();
    (command as Inbound).answer(this.#host.epoch, value);
  }

  answerLazily(command: Command, value: unknown, withinMs: number): void {
    this.#assertOpen();
    this.#say(command as Inbound, value, withinMs);
  }

  /** Runs once everything decided up to the end of this turn is durable; at once where that is so already. */
  whenDurable(run: () => void): void {
    this.#statements.push({ arrival: ANY_APPEND, withinMs: undefined, release: { release: run } });
  }

  /** Actors that threw since this was asked last. */
  takeQuarantined(): readonly Quarantined[] {
    const quarantined = this.#quarantined;
    this.#quarantined = [];
    return quarantined;
  }

  /** Ends the turn. What was changed is still staged. */
  end(): TurnOutcome {
    this.#isOpen = false;
    const isAwaited = this.#releases.length > 0 || this.#statements.length > 0;
    const patienceMs = isAwaited ? undefined : this.#patienceMs;
    return { set: this.#host.live.staged, releases: this.#releases, statements: this.#statements, patienceMs };
  }

  #say(command: Inbound, value: unknown, withinMs: number | undefined): void {
    const { epoch } = this.#host;
    this.#statements.push({
      arrival: command.arrival,
      withinMs,
      release: {
        release: () => command.answer(epoch, value),
        drop: () => command.refuse(epoch, { code: 'retry-elsewhere', message: 'the shard has moved; the outcome is unknown' }),
      },
    });
  }

  #apply<C>(kind: ActorKind<C>, id: string, before: ActorRecord<C> | undefined, step: ActorStep): SendResult<C> {
    if (step.kind === 'threw') this.#quarantined.push({ actor: { kind: kind.kind, id }, error: step.error });
    if (step.kind !== 'moved') return { ...NOT_ACCEPTED, before, after: before };
    if (step.isChanged) this.#host.live.set(kind.kind, id, step.record);
    if (step.isStateChanged) this.#clearTimers(kind.kind, id);
    let reply: unknown;
    for (const effect of step.emitted) {
      if (effect.type === 'reply') reply = effect['value'];
      else if (effect.type === 'timer.set') this.#setTimer(kind.kind, id, parseTimerSet({ kind: kind.kind, id }, effect));
      else if (effect.type === 'timer.clear') this.#clearTimer(kind.kind, id, String(effect['timer']));
      else this.#releases.push({ release: () => this.#host.effect({ kind: kind.kind, id }, effect) });
    }
    return { isAccepted: true, before, after: step.record as unknown as ActorRecord<C>, reply };
  }

  #setTimer(kind: string, id: string, { name, timer }: NamedActorTimer): void {
    // Deleted first, so that its time stamp says when it was set anew.
    this.#clearTimer(kind, id, name);
    this.#host.live.set(TIMERS_KIND, timerId(kind, id, name), timer);
  }

  #clearTimer(kind: string, id: string, timer: string): void {
    this.#host.live.delete(TIMERS_KIND, timerId(kind, id, timer));
  }

  #clearTimers(kind: string, id: string): void {
    for (const timer of this.#host.timersOf(kind, id)) this.#clearTimer(kind, id, timer);
  }

  #live(): LiveState {
    this.#assertOpen();
    return this.#host.live;
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new Error('the turn is over');
  }
}
