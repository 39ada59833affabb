// What a shard's behaviour sees of the runtime, and what the runtime asks of it.
//
// A shard is decided by one replica at a time. Everything that happens in it happens in a turn: synchronous, on the live
// state (what is committed, with the pending decisions on top). What a turn decides joins the shard's next record; its
// effects and answers are released when NATS has acknowledged that record (the output gate).
//   C1. A turn never awaits. What takes time is an effect or a task, and comes back as another turn.
//   C2. Nothing leaves before the append behind it is acknowledged, answers that only state something included.
//   C3. When the shard is lost, the session is closed, and nothing of it runs afterwards.
import type { Clock, Journal, Logger, MessageBus, Metrics, Random } from '@muster/ports';
import type { AnyStateMachine, StateValue } from 'xstate';
import type { SharedRecords } from './journal/shared-records.ts';

/** Any JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** A record of a shard as it is stored: immutable, replaced as a whole. */
export interface StoredRecord<T = unknown> {
  readonly kind: string;
  readonly id: string;
  readonly value: T;
  /** Counts the changes of this record. */
  readonly version: number;
  /** The stream's time stamp of the last change, ms. */
  readonly changedAtMs: number;
  /** The same of the last change of `value.state`, where it has one. */
  readonly stateSinceMs: number;
}

/** A kind of record that a shard holds. */
export interface RecordKind<T = unknown> {
  readonly kind: string;
  /** Reads a stored value. @throws Error where it is not one: the shard then stops loudly at its sequence. */
  parse(value: unknown): T;
  /** Keep only this many, the newest by first insertion; absent: all. Deterministic, so that every follower agrees. */
  readonly retain?: number;
}

/** The stored form of an actor. */
export interface ActorRecord<C = Json> {
  readonly state: StateValue;
  readonly context: C;
}

/**
 * A kind of actor: an XState machine (no `after`, `invoke` or spawned children; time and random numbers come in events),
 * whose emitted events are its effects. The runtime itself understands `{type: 'reply', value}` (the answer of an ask),
 * `{type: 'timer.set', timer, delayMs, event, clock}` and `{type: 'timer.clear', timer}`; all others go to the session's
 * `effect`.
 */
export interface ActorKind<C = Json> extends RecordKind<ActorRecord<C>> {
  readonly machine: AnyStateMachine;
}

/** An emitted event of a machine. */
export interface Effect {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** What a turn did to an actor. */
export interface SendResult<C = Json> {
  /** False: the machine has no transition for this event in this state; nothing changed. */
  readonly isAccepted: boolean;
  readonly before: ActorRecord<C> | undefined;
  readonly after: ActorRecord<C> | undefined;
  /** Values emitted as `reply`. */
  readonly reply: unknown;
}

/** A command to a shard, from this process or over the bus. */
export interface Command {
  readonly body: unknown;
  /** Request id, where the sender gave one. */
  readonly id: string | undefined;
  /** On the owner's monotonic clock: nobody waits for the answer after it. */
  readonly deadlineMs: number;
  /** Answered already, or nobody waits. */
  readonly isSettled: boolean;
}

/** A synchronous step on the live state of a shard. */
export interface Turn {
  /** The owner's monotonic clock, read once for the turn. */
  readonly nowMs: number;
  get<T>(kind: RecordKind<T>, id: string): T | undefined;
  /** All live records of a kind, in order of insertion. Not a copy: do not keep it. */
  list<T>(kind: RecordKind<T>): Iterable<readonly [id: string, value: T]>;
  count(kind: RecordKind): number;
  /** Sets a plain record (not an actor's). */
  put<T>(kind: RecordKind<T>, id: string, value: T): void;
  delete(kind: RecordKind, id: string): void;
  /** Starts an actor with the machine's input. @throws Error where the id exists (a defect) */
  create<C>(kind: ActorKind<C>, id: string, input: unknown): SendResult<C>;
  /** Gives an actor an event. An actor that is not there accepts nothing. A final state stays stored until `delete`. */
  send<C>(kind: ActorKind<C>, id: string, event: { readonly type: string }): SendResult<C>;
  /**
   * Nobody waits for what this turn decides: it goes with the next record, or up to `withinMs` later in one of its own. Has no
   * effect in a turn that answers, or that something is to run after.
   */
  mayWait(withinMs: number): void;
  /** Runs after the record of this turn (or a confirm, where the turn decided nothing) is acknowledged. */
  afterCommit(run: (commit: Commit) => void): void;
  /**
   * Answers, after this turn's record is acknowledged, and only when an append sent after the command arrived has been
   * (an empty confirm record, shared, where there is nothing else to write).
   */
  answer(command: Command, value: unknown): void;
  /**
   * Answers at once where the answer hangs on nothing but `commit` (given to an `afterCommit` before), that append was sent
   * after the command arrived, and this process has run ever since; otherwise as `answer`. For an answer that had to wait
   * for somebody else, as a worker's yes: what other turns have pending meanwhile does not hold it up.
   */
  answerSince(command: Command, value: unknown, commit: Commit): void;
  /** Answers at once, without the gate: for what states nothing about the shard (`overloaded`, errors of input). */
  answerAtOnce(command: Command, value: unknown): void;
  /** As `answer`, but content with a confirm that others may share for up to `withinMs` (renewals). */
  answerLazily(command: Command, value: unknown, withinMs: number): void;
}

export interface Commit {
  readonly seq: number;
  readonly epoch: number;
}

/**
 * `internal`: runs on through everything; after a takeover it goes on where the stream's time stamps say.
 * `external`: somebody else could have answered: starts again in full at a takeover, and pauses while the owner is
 * disconnected, frozen or late.
 */
export type ClockKind = 'internal' | 'external';

/** How a task that fails is tried again. */
export interface RetryPolicy {
  readonly attemptsMax: number;
  readonly firstDelayMs: number;
  readonly delayMaxMs: number;
}

/** A shard as its owner sees it: given to the session. */
export interface OwnedShard {
  readonly shard: string;
  readonly replica: string;
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly bus: MessageBus;
  /** Position of the last acknowledged record. */
  readonly committedSeq: number;
  /** Decides nothing now: an append is ambiguous, or the link is down. */
  readonly isFrozen: boolean;
  /** Runs a turn now; while frozen, as soon as that has ended. Nothing runs after close. */
  turn(run: (turn: Turn) => void): void;
  /** For an actor or record at a takeover: how long it has been in its state by the stream's time stamps, never below 0. */
  elapsedInStateMs(kind: RecordKind, id: string): number;
  /** Sets (or sets anew) the timer of this name; it runs in a turn. */
  setTimer(name: string, delayMs: number, clock: ClockKind, fire: (turn: Turn) => void): void;
  clearTimer(name: string): void;
  /**
   * Runs something that takes time, at least once, with retries; a second call with the name of one that runs does nothing.
   * `done`/`failed` run in a turn. The signal aborts at close. At most `tasksMax` at once; the rest queue up, urgent first.
   * Called in a turn it starts when everything decided up to the end of that turn is durable.
   */
  task<T>(options: {
    readonly name: string;
    readonly retry: RetryPolicy;
    readonly isUrgent?: boolean;
    run(signal: AbortSignal): Promise<T>;
    done(turn: Turn, result: T): void;
    failed(turn: Turn, error: unknown): void;
  }): void;
  /**
   * The replica's read model of another shard; `changed` runs in a turn of this shard now, for what is there, and after each
   * record of that one (several records may share a call).
   */
  watch(shard: string, changed: (turn: Turn, shadow: Shadow) => void): void;
  /** The same read model as it is now. */
  shadow(shard: string): Shadow | undefined;
  /** Subscribes for as long as the shard is owned; the handler runs outside a turn. */
  subscribe(subject: string, handler: Parameters<MessageBus['subscribe']>[1]): void;
}

/** The behaviour of one shard while this replica owns it. */
export interface ShardSession {
  /** One command; a turn of its own. */
  command(turn: Turn, command: Command): void;
  /** An effect that an actor's machine emitted, after its record is acknowledged. Every emitted event but the runtime's own. */
  effect(actor: { readonly kind: string; readonly id: string }, effect: Effect): void;
  /** An actor threw twice on the same event; its record stays as it was. The session says what becomes of it. */
  quarantined(turn: Turn, actor: { readonly kind: string; readonly id: string }, error: unknown): void;
  /** Commands that may wait (while the shard is frozen or behind); beyond it they are refused `overloaded`. */
  readonly mailboxMax: number;
  close(reason: 'deposed' | 'handed-over' | 'stopped'): void;
  /** A turn threw and changed nothing: what the session derives from the records is to be derived anew. In a turn. */
  turnFailed?(turn: Turn): void;
}

/** What a shard is: its kinds of record, and how its owner behaves. */
export interface ShardDefinition {
  readonly shard: string;
  readonly kinds: readonly RecordKind[];
  /**
   * Whether a client may give this command, on the subject that clients may use (`muster.v1.shard.<shard>.request`).
   * Absent: none; all come from replicas.
   */
  isForClients?(body: unknown): boolean;
  /** Called when this replica has become the owner, in a turn, before any command. */
  open(shard: OwnedShard, turn: Turn): ShardSession;
}

/** A read model of one shard: every record as of the last one followed. May be old; never decide from it alone. */
export interface Shadow {
  readonly shard: string;
  /** Replica that wrote the last epoch record; undefined before the first. */
  readonly owner: string | undefined;
  readonly epoch: number;
  readonly seq: number;
  get<T>(kind: RecordKind<T>, id: string): StoredRecord<T> | undefined;
  list<T>(kind: RecordKind<T>): Iterable<StoredRecord<T>>;
  count(kind: RecordKind): number;
}

/** What `ask` gives: the answer, and the shard's epoch. */
export interface AskAnswer {
  readonly epoch: number;
  readonly value: unknown;
  /** How often it was sent. With more than once, a copy that was late may still arrive, after this answer. */
  readonly tries: number;
}

export interface ReplicaStatus {
  readonly replica: string;
  readonly isAlive: boolean;
  readonly shards: readonly string[];
  /** What it says of itself in its beats: its HTTP address, its version. */
  readonly about: Json;
}

export interface RuntimeOptions {
  readonly replica: string;
  readonly cluster: string;
  readonly bus: MessageBus;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** T of DESIGN 4.1: how long a shard is silent before it is taken over. Default 1500. */
  readonly takeoverMs?: number;
  /** In this replica's beats. */
  readonly about?: Json;
  /** How long a join must be stable, and a shard must stay, before it moves. Defaults 10 s and 30 s. */
  readonly moveAfterMs?: number;
  readonly stayMs?: number;
  /** How many tasks of one shard run at once. Default 64. */
  readonly tasksMax?: number;
  /** The least bytes of records between two snapshots of a shard. Default 4 MB. */
  readonly snapshotBytesMin?: number;
  /** Between the replicas of one process, which then hold each record once; for simulations. */
  readonly shared?: SharedRecords;
  /** Committed transitions of actors, off the hot path (inspection). */
  readonly inspect?: (event: {
    readonly shard: string;
    readonly kind: string;
    readonly id: string;
    readonly state: string;
    readonly record: StoredRecord | undefined;
  }) => void;
}

/** One replica's part in the cluster. */
export interface Runtime {
  readonly replica: string;
  /** Shards that exist now. Those without an owner are taken; those no longer named are left alone. */
  define(definitions: readonly ShardDefinition[]): void;
  /**
   * Asks the owner of a shard, wherever it is, until the deadline: `no-responders` and `retry-elsewhere` are tried again
   * with the same id.
   * @throws MusterError `timeout`, `overloaded`, `bad-request`, `closed`
   */
  ask(shard: string, body: unknown, options: { readonly timeoutMs: number; readonly id?: string }): Promise<AskAnswer>;
  /** Sends once, at most once; no answer. */
  tell(shard: string, body: unknown): void;
  shadow(shard: string): Shadow | undefined;
  /** Calls back after each record that this replica has followed or committed. */
  onRecord(listener: (shadow: Shadow) => void): { unsubscribe(): void };
  isOwned(shard: string): boolean;
  isFrozen(shard: string): boolean;
  replicas(): readonly ReplicaStatus[];
  /** True when it follows at the current end and its link is up. */
  readonly isReady: boolean;
  /** Hands every shard over, and stops. Resolves when no request is left unanswered here, or after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}
