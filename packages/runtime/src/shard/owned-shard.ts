// One shard while this replica owns it: turns, mailbox, timers, tasks, and the chain that they write to.
//
// Owns: the order in which things happen in the shard.
//   O1. One turn at a time, start to end; a turn that is asked for inside another comes after it.
//   O2. While frozen no turn runs. Commands wait in the mailbox, bounded, and are dropped at their deadline.
//   O3. A turn that throws leaves no trace but a log line; its command gets `internal`.
//   O4. After close nothing of it runs, and everybody who waits has been told `retry-elsewhere`.
import type { Clock, Logger, MessageBus, Metrics, Random, Subscription } from '@muster/ports';
import type { ClockKind, Effect, OwnedShard, RecordKind, Shadow, ShardDefinition, ShardSession, Turn } from '../contract.ts';
import { encodeRecord } from '../journal/record.ts';
import type { Store } from '../journal/store.ts';
import type { RuntimeMetrics } from '../metrics.ts';
import { Queue } from '../queue.ts';
import { type ActorTimer, ActorTimerIndex, split, TIMERS_KIND, timerId } from './actor-timers.ts';
import { Actors } from './actors.ts';
import type { Chain } from './chain.ts';
import { type Asker, Inbound } from './command.ts';
import { LiveState } from './live-state.ts';
import type { LoopWatch } from './loop-watch.ts';
import { type TaskOptions, Tasks } from './tasks.ts';
import { Timers } from './timers.ts';
import { type ActorName, LiveTurn, type TurnHost } from './turn.ts';

export interface OwnedShardOptions {
  readonly definition: ShardDefinition;
  readonly replica: string;
  readonly epoch: number;
  readonly chain: Chain;
  readonly watch: LoopWatch;
  /** The committed state that the shard was taken over with, and when that was, by the stream's stamps. */
  readonly shadow: { readonly store: Store };
  readonly retain: Readonly<Record<string, number>>;
  readonly takenAtStreamMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly counters: RuntimeMetrics;
  readonly bus: MessageBus;
  readonly tasksMax: number;
  readonly recordBytesMax: number;
  /** Calls back after each record of another shard, until unsubscribed. */
  readonly watchShadow: (shard: string, changed: (shadow: Shadow) => void) => Subscription;
  readonly shadowOf: (shard: string) => Shadow | undefined;
}

const RETRY_AFTER_MS = 200;
/** What a record needs besides its changes. */
const ENVELOPE_BYTES = 512;

type Run = (turn: Turn) => void;

export class LiveShard implements OwnedShard, TurnHost {
  readonly shard: string;
  readonly replica: string;
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly bus: MessageBus;
  readonly live: LiveState;
  readonly actors = new Actors();
  readonly chain: Chain;
  readonly #options: OwnedShardOptions;
  readonly #timers: Timers<Run>;
  readonly #tasks: Tasks;
  readonly #actorTimers = new ActorTimerIndex();
  readonly #mailbox = new Queue<Inbound>();
  /** What the session has and has not answered yet: whoever waits, or hangs on something outside. */
  readonly #unanswered = new Set<Inbound>();
  readonly #deferred = new Queue<Run>();
  readonly #subscriptions = new Set<Subscription>();
  #session: ShardSession | undefined;
  #turn: LiveTurn | undefined;
  #isRecovering = false;
  #isClosed = false;
  #isLeaving = false;
  #wasFrozen = false;

  constructor(options: OwnedShardOptions) {
    this.#options = options;
    this.shard = options.definition.shard;
    this.replica = options.replica;
    this.epoch = options.epoch;
    this.clock = options.clock;
    this.random = options.random;
    this.logger = options.logger;
    this.metrics = options.metrics;
    this.bus = options.bus;
    this.chain = options.chain;
    this.live = new LiveState(options.shadow.store, options.retain);
    this.#timers = new Timers<Run>({ clock: this.clock, lostMs: () => options.watch.lost(), run: (fire) => this.turn(fire) });
    this.#tasks = new Tasks({
      clock: this.clock,
      random: this.random,
      tasksMax: options.tasksMax,
      turn: (run) => this.turn(run),
    });
  }

  get committedSeq(): number {
    return this.chain.lastSeq;
  }
  get isFrozen(): boolean {
    return this.chain.isFrozen;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }
  /** Handing over: it decides nothing more. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /** Opens the session, with the turn that is its first. @throws what the definition throws (a defect) */
  open(): void {
    let failure: { readonly error: unknown } | undefined;
    this.#run((turn) => {
      try {
        this.#session = this.#options.definition.open(this, turn);
      } catch (error) {
        failure = { error };
        throw error;
      }
    });
    if (failure !== undefined) throw failure.error;
    for (const [id, timer] of this.live.list(TIMERS_KIND)) this.#armActorTimer(id, timer as ActorTimer, this.#elapsedMs(TIMERS_KIND, id));
    this.chainChanged();
  }

  /** Takes a command from this process or the bus. */
  receive(request: { readonly body: unknown; readonly id: string | undefined; readonly deadlineMs: number; readonly asker: Asker }): void {
    if (this.#isClosed || this.#isLeaving) {
      request.asker.refuse(this.epoch, { code: 'retry-elsewhere', message: `${this.shard} is moving` });
      return;
    }
    const command = new Inbound({ ...request, arrival: this.chain.sent, clock: this.clock });
    const mailboxMax = this.#session?.mailboxMax ?? 0;
    if (this.#mailbox.length >= mailboxMax) this.#dropExpired();
    if (this.#mailbox.length >= mailboxMax && mailboxMax > 0) {
      this.#options.counters.mailboxRefused.add();
      const message = `${this.shard} has ${this.#mailbox.length} requests waiting`;
      command.refuse(this.epoch, { code: 'overloaded', message, retryAfterMs: RETRY_AFTER_MS });
      return;
    }
    this.#mailbox.push(command);
    this.#drain();
  }

  turn(run: Run): void {
    if (this.#isClosed || this.#isLeaving) return;
    this.#deferred.push(run);
    this.#drain();
  }

  elapsedInStateMs(kind: RecordKind, id: string): number {
    return this.#elapsedMs(kind.kind, id);
  }

  setTimer(name: string, delayMs: number, clock: ClockKind, fire: Run): void {
    this.#timers.set(`session/${name}`, delayMs, clock, fire);
  }

  clearTimer(name: string): void {
    this.#timers.clear(`session/${name}`);
  }

  task<T>(options: TaskOptions<T>): void {
    // What a turn starts waits for what it decided, and for what it may have seen that is not durable yet.
    if (this.#turn === undefined) this.#tasks.start(options);
    else this.#turn.whenDurable(() => this.#tasks.start(options));
  }

  watch(shard: string, changed: (turn: Turn, shadow: Shadow) => void): void {
    let isDue = false;
    const notice = (shadow: Shadow): void => {
      // While a turn for it waits, another would see the same.
      if (isDue) return;
      isDue = true;
      this.turn((turn) => {
        isDue = false;
        changed(turn, shadow);
      });
    };
    this.#subscriptions.add(this.#options.watchShadow(shard, notice));
    const shadow = this.#options.shadowOf(shard);
    if (shadow !== undefined) notice(shadow);
  }

  shadow(shard: string): Shadow | undefined {
    return this.#options.shadowOf(shard);
  }

  subscribe(subject: string, handler: Parameters<MessageBus['subscribe']>[1]): void {
    if (this.#isClosed) return;
    this.#subscriptions.add(this.bus.subscribe(subject, handler));
  }

  timersOf(kind: string, id: string): Iterable<string> {
    const known = this.#actorTimers.of(kind, id);
    const prefix = timerId(kind, id, '');
    const staged = this.live.staged.filter(([of, timer, value]) => of === TIMERS_KIND && value !== null && timer.startsWith(prefix));
    return staged.length === 0 ? known : [...known, ...staged.map(([, timer]) => split(timer).name)];
  }

  effect(actor: ActorName, effect: Effect): void {
    this.#session?.effect(actor, effect);
  }

  /** The chain froze, thawed, or has room again. */
  chainChanged(): void {
    if (this.#isClosed) return;
    const { isFrozen } = this.chain;
    if (isFrozen !== this.#wasFrozen) {
      this.#wasFrozen = isFrozen;
      this.#timers.setPaused(isFrozen);
    }
    this.#drain();
  }

  /** Forgets the requests whose deadline has passed; called every tick. */
  tick(): void {
    if (this.isFrozen && this.#mailbox.length > 0) this.#dropExpired();
    for (const command of this.#unanswered) if (command.isSettled) this.#unanswered.delete(command);
  }

  /**
   * Decides nothing from now on; resolves when everything decided is durable and, with an heir, the journal says that it is
   * the heir's. False: it was lost first.
   */
  leave(heir: string | undefined): Promise<boolean> {
    this.#isLeaving = true;
    this.#timers.close();
    this.#tasks.close();
    this.#refuseAll();
    return new Promise((resolve) => {
      const releases = [{ release: () => resolve(true), drop: () => resolve(false) }];
      if (heir === undefined) this.chain.submit({ type: 'confirm', encode: (head) => encodeRecord(head, '', ''), releases });
      else {
        const encode = (head: string): Uint8Array => encodeRecord(head, `,"to":${JSON.stringify(heir)}`, '');
        this.chain.submit({ type: 'handover', isFinal: true, encode, releases });
      }
    });
  }

  close(reason: Parameters<ShardSession['close']>[0]): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timers.close();
    this.#tasks.close();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#subscriptions.clear();
    this.chain.close();
    this.#refuseAll();
    for (const command of this.#unanswered) command.refuse(this.epoch, { code: 'retry-elsewhere', message: `${this.shard} is moving` });
    this.#deferred.drain();
    try {
      this.#session?.close(reason);
    } catch (error) {
      this.logger.error({ shard: this.shard, error }, 'the session of a shard threw when it was closed');
    }
  }

  #drain(): void {
    while (this.#turn === undefined && !this.#isClosed && !this.#isLeaving && this.#session !== undefined && !this.chain.isFrozen) {
      const run = this.#deferred.shift();
      if (run !== undefined) {
        this.#run(run);
        continue;
      }
      if (this.chain.isBusy) return;
      const command = this.#mailbox.shift();
      if (command === undefined) return;
      if (command.deadlineMs < this.clock.monotonicMs()) this.#options.counters.mailboxRefused.add();
      else this.#give(command);
    }
  }

  #give(command: Inbound): void {
    if (!command.isSettled) {
      this.#unanswered.add(command);
      command.onAnswered = () => this.#unanswered.delete(command);
    }
    this.#run((turn) => this.#session?.command(turn, command), command);
  }

  #run(run: Run, command?: Inbound): void {
    const turn = new LiveTurn(this, this.#options.watch.observe());
    this.#turn = turn;
    try {
      run(turn);
      for (const { actor, error } of turn.takeQuarantined()) {
        this.#options.counters.quarantined.add();
        this.logger.error({ shard: this.shard, actor: `${actor.kind}/${actor.id}`, error }, 'an actor threw twice on one event');
        this.#session?.quarantined(turn, actor, error);
      }
      this.#finish(turn);
    } catch (error) {
      turn.end();
      this.live.abort();
      this.logger.error({ shard: this.shard, error }, 'a turn failed; it changed nothing');
      command?.refuse(this.epoch, { code: 'internal', message: `${this.shard}: the command failed` });
      const session = this.#session;
      if (session?.turnFailed !== undefined && !this.#isRecovering) {
        this.#isRecovering = true;
        this.turn((later) => {
          session.turnFailed?.(later);
          this.#isRecovering = false;
        });
      }
    } finally {
      this.#turn = undefined;
    }
  }

  /** @throws Error where its changes are not JSON, or too many for one record */
  #finish(turn: LiveTurn): void {
    const { set, releases, statements, patienceMs } = turn.end();
    if (set.length === 0 && releases.length === 0) {
      for (const { release, arrival, withinMs } of statements) {
        if (withinMs === undefined) this.chain.state(release, arrival);
        else this.chain.stateLazily(release, withinMs);
      }
      return;
    }
    const setJson = set.map((op) => JSON.stringify(op)).join(',');
    const bytes = Buffer.byteLength(setJson);
    if (bytes > this.#options.recordBytesMax - ENVELOPE_BYTES) {
      throw new Error(`a turn changed ${bytes} bytes, a record has ${this.#options.recordBytesMax}`);
    }
    this.live.commit();
    for (const [kind, id, value] of set) if (kind === TIMERS_KIND) this.#actorTimerChanged(id, value as ActorTimer | null);
    const all = statements.length === 0 ? releases : [...releases, ...statements.map(({ release }) => release)];
    const decision = { set, setJson, bytes, releases: all };
    if (patienceMs === undefined) this.chain.submit(decision);
    else this.chain.submitLater(decision, patienceMs);
  }

  #actorTimerChanged(id: string, timer: ActorTimer | null): void {
    if (timer !== null) {
      this.#armActorTimer(id, timer, 0);
      return;
    }
    this.#actorTimers.remove(id);
    this.#timers.clear(`actor/${id}`);
  }

  #armActorTimer(id: string, timer: ActorTimer, elapsedMs: number): void {
    const { name } = split(id);
    this.#actorTimers.add(timer.actor, name);
    const delayMs = timer.clock === 'internal' ? Math.max(0, timer.delayMs - elapsedMs) : timer.delayMs;
    this.#timers.set(`actor/${id}`, delayMs, timer.clock, (turn) => {
      this.live.delete(TIMERS_KIND, id);
      const kind = this.#options.definition.kinds.find((known) => known.kind === timer.actor.kind);
      if (kind !== undefined && 'machine' in kind) turn.send(kind as never, timer.actor.id, timer.event);
    });
  }

  #elapsedMs(kind: string, id: string): number {
    const record = this.#options.shadow.store.get(kind, id);
    return record === undefined ? 0 : Math.max(0, this.#options.takenAtStreamMs - record.stateSinceMs);
  }

  #dropExpired(): void {
    const nowMs = this.clock.monotonicMs();
    const dropped = this.#mailbox.removeWhere((command) => command.deadlineMs < nowMs);
    if (dropped.length > 0) this.#options.counters.mailboxRefused.add(undefined, dropped.length);
  }

  #refuseAll(): void {
    for (const command of this.#mailbox.drain()) {
      command.refuse(this.epoch, { code: 'retry-elsewhere', message: `${this.shard} is moving` });
    }
  }
}
