// A worker's side of the contract (DESIGN 8): says hello, beats, does what it is told, drains.
//
// Owns: the order of commands and the token of the current holder. Does not own: the judgement (command-judge.ts), the
// beats (presence.ts), the work itself (the handlers).
// Invariants:
//   W1. Commands are done one after the other, in the order they came; `status` alone is answered at once.
//   W2. The holder's token is known from the moment an activation succeeded until its reservation ends, at no other time.
//   W3. A drain starts at once, beside what is running, and ends within its grace.
import type { BusMessage, Logger, Timer } from '@muster/ports';
import {
  decodeAs,
  encode,
  isSameToken,
  subjects,
  type WorkerAnswer,
  type WorkerBeat,
  type WorkerCommand,
  workerCommandSchema,
} from '@muster/protocol';
import { ActivationRefused } from './activation-refused.ts';
import { type Held, initialJudgeState, isAddressee, type JudgeState, judgeCommand, settleCommand } from './command-judge.ts';
import { WORKER_TIMINGS, type WorkerOptions, type WorkerTimings } from './options.ts';
import { Presence } from './presence.ts';

/** Commands that wait behind the one that runs; an owner has one or two under way, so more is a defect. */
const COMMANDS_MAX = 64;
const MESSAGE_CHARS_MAX = 2_000;

type Command = Exclude<WorkerCommand, { type: 'status' }>;

/** A worker that runs; see `startWorker`. */
export interface Worker {
  /** Random, of this process. */
  readonly instance: string;
  /** The reservation that is served now. */
  readonly holder: Held | undefined;
  /** True for the token of the reservation that is served now; takes as long for any other. */
  isHolder(token: string): boolean;
  readonly isDraining: boolean;
  /** Drains and ends; harmless when it is under way, but a shorter grace counts. Resolves when ended. */
  drain(reason: string, graceMs?: number): Promise<void>;
  /** Resolves with the reason when the worker has ended: drained, or told to stop. Never rejects. */
  readonly ended: Promise<string>;
}

/** Starts to speak for a slot. The process goes on until `ended`; it is the caller's to end it then. */
export function startWorker(options: WorkerOptions): Worker {
  return new SlotWorker(options);
}

class SlotWorker implements Worker {
  readonly instance: string;
  readonly ended: Promise<string>;
  readonly #options: WorkerOptions;
  readonly #timings: WorkerTimings;
  readonly #logger: Logger;
  readonly #presence: Presence;
  readonly #queue: { readonly message: BusMessage; readonly command: Command }[] = [];
  readonly #abort = new AbortController();
  readonly #end: (reason: string) => void;
  #state: JudgeState;
  #token: string | undefined;
  #isBusy = false;
  #drainTimer: Timer | undefined;
  #drainEndsMs = Number.POSITIVE_INFINITY;
  #drainReason: string | undefined;
  #finish: (() => void) | undefined;

  constructor(options: WorkerOptions) {
    const { bus, clock, random, identity } = options;
    this.#options = options;
    this.#timings = { ...WORKER_TIMINGS, ...options.timings };
    this.instance = random.id();
    this.#logger = options.logger.child({ slot: identity.slot, shard: identity.shard, instance: this.instance });
    this.#state = initialJudgeState(identity.slot, this.instance);
    const { promise, resolve } = Promise.withResolvers<string>();
    this.ended = promise;
    const commands = bus.subscribe(subjects.workerCommand(identity.shard, identity.slot, this.instance), (message) => this.#hear(message));
    this.#presence = new Presence({
      bus,
      clock,
      random,
      identity,
      logger: this.#logger,
      timings: this.#timings,
      beat: () => this.#beat(),
      isIdle: () => this.#state.held === undefined && !this.#isBusy,
      onStop: (reason) => void this.drain(reason),
    });
    this.#end = (reason) => {
      commands.unsubscribe();
      this.#presence.stop();
      this.#logger.info({ reason }, 'worker ended');
      resolve(reason);
    };
    this.#presence.start();
  }

  get holder(): Held | undefined {
    return this.#state.held;
  }

  get isDraining(): boolean {
    return this.#state.isDraining;
  }

  isHolder(token: string): boolean {
    return this.#token !== undefined && isSameToken(token, this.#token);
  }

  async drain(reason: string, graceMs: number = this.#timings.drainGraceMs): Promise<void> {
    this.#state = { ...this.#state, isDraining: true };
    this.#armDrain(graceMs);
    if (this.#drainReason === undefined) void this.#drainOnce(reason, graceMs);
    await this.ended;
  }

  async #drainOnce(reason: string, graceMs: number): Promise<void> {
    this.#drainReason = reason;
    this.#logger.info({ reason, graceMs }, 'worker drains');
    this.#abort.abort(new Error(`draining: ${reason}`));
    const { promise: deadline, resolve } = Promise.withResolvers<void>();
    this.#finish = resolve;
    await Promise.race([this.#attempt('onDrain', () => this.#options.onDrain?.({ graceMs, reason })), deadline]);
    this.#drainTimer?.cancel();
    this.#finish = undefined;
    this.#end(reason);
  }

  #armDrain(graceMs: number): void {
    const endsMs = this.#options.clock.monotonicMs() + graceMs;
    if (endsMs >= this.#drainEndsMs) return;
    this.#drainEndsMs = endsMs;
    this.#drainTimer?.cancel();
    this.#drainTimer = this.#options.clock.setTimer(graceMs, () => {
      this.#logger.warn({ graceMs }, 'worker did not drain in time');
      this.#finish?.();
    });
  }

  #beat(): WorkerBeat {
    const { identity, endpoint, version, pid } = this.#options;
    const { epoch, held, isDraining } = this.#state;
    return {
      instance: this.instance,
      endpoint,
      version,
      pid: pid ?? process.pid,
      token: identity.token,
      epoch,
      reservation: held?.reservation ?? null,
      ...(held === undefined ? {} : { org: held.org }),
      state: isDraining ? 'draining' : held === undefined ? 'idle' : 'active',
    };
  }

  #hear(message: BusMessage): void {
    let command: WorkerCommand;
    try {
      command = decodeAs(workerCommandSchema, message.data);
    } catch (error) {
      this.#logger.warn({ error: String(error) }, 'a command cannot be read');
      return respond(message, refusal('request', 'the command cannot be read'));
    }
    this.#presence.contact();
    if (command.type === 'status') return respond(message, this.#status(command));
    if (this.#queue.length >= COMMANDS_MAX) return respond(message, refusal('worker', `${COMMANDS_MAX} commands are waiting`));
    this.#queue.push({ message, command });
    if (!this.#isBusy) void this.#work();
  }

  #status(command: WorkerCommand): WorkerAnswer {
    if (!isAddressee(this.#state, command)) return refusal('stale', 'the command is for another slot or instance');
    return { ok: true, beat: this.#beat() };
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      respond(next.message, await this.#answer(next.command));
    }
    this.#isBusy = false;
  }

  async #answer(command: Command): Promise<WorkerAnswer> {
    const { state, verdict } = judgeCommand(this.#state, command);
    this.#state = state;
    if (state.held === undefined) this.#token = undefined;
    if (verdict.kind === 'answer') return verdict.answer;
    if (command.type === 'drain' || verdict.kind === 'drain') {
      void this.drain('told to drain', command.type === 'drain' ? command.graceMs : undefined);
      return { ok: true };
    }
    const answer = (await this.#releaseEnded(command, verdict.ended)) ?? (await this.#run(command));
    this.#state = settleCommand(this.#state, command.type, answer);
    if (command.type === 'activate' && answer.ok) this.#token = command.token;
    return answer;
  }

  /** A reset forgets everything anyway. */
  async #releaseEnded(command: Command, ended: Held | undefined): Promise<WorkerAnswer | undefined> {
    if (ended === undefined || command.type === 'reset') return undefined;
    return this.#attempt('onRelease', () => this.#options.onRelease?.(ended));
  }

  async #run(command: Exclude<Command, { type: 'drain' }>): Promise<WorkerAnswer> {
    switch (command.type) {
      case 'activate': {
        const { org, pool, reservation, epoch, activation } = command;
        const context = { org, pool, reservation, epoch, activation, signal: this.#abort.signal };
        const failure = await this.#attempt('onActivate', () => this.#options.onActivate(context));
        if (failure !== undefined) return failure;
        return this.#state.isDraining ? refusal('worker', 'the worker is draining') : { ok: true, endpoint: this.#options.endpoint };
      }
      case 'release':
        return { ok: true };
      case 'reset':
        if (this.#options.onReset === undefined) return refusal('worker', 'the worker cannot forget an org');
        return (await this.#attempt('onReset', () => this.#options.onReset?.())) ?? { ok: true };
    }
  }

  /** The refusal that a failure of a handler is; undefined where it succeeded. */
  async #attempt(handler: string, run: () => Promise<void> | void): Promise<WorkerAnswer | undefined> {
    try {
      await run();
      return undefined;
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      const cause = error instanceof ActivationRefused ? error.refusalCause : 'worker';
      this.#logger.warn({ handler, cause, error: said }, 'a handler of the worker refused or failed');
      return refusal(cause, said.slice(0, MESSAGE_CHARS_MAX));
    }
  }
}

function respond(message: BusMessage, answer: WorkerAnswer): void {
  message.respond(encode(answer));
}

function refusal(cause: 'request' | 'worker' | 'stale', message: string): WorkerAnswer {
  return { ok: false, cause, message };
}
