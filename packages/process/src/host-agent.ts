// The agent of one machine or container: starts, stops and lists workers there for the owners of their slots (DESIGN 8).
//
// Owns: the host's side of the wire. Does not own: how workers are started (launch/), which (allowed-commands.ts).
// Invariants:
//   A1. No command is heard before the launcher knows again what an earlier agent had started.
//   A2. A page of the list begins after the last slot of the one before, so that no worker that was there all the time is
//       left out: to be missing in a list means to be gone.
//   A3. An agent that is leaving starts nothing more, and says that it has left only when none of its workers runs.
import { BUDGETS } from '@muster/domain';
import type { BusMessage, Clock, Logger, MessageBus, Random, Subscription, Timer, WorkerStatus } from '@muster/ports';
import {
  decodeAs,
  encode,
  type HostAnswer,
  type HostBeat,
  type HostCommand,
  hostCommandSchema,
  isMusterError,
  subjects,
} from '@muster/protocol';
import type { AllowedCommands } from './allowed-commands.ts';
import type { Launcher } from './launch/launcher.ts';
import type { MemoryBudget } from './memory-budget.ts';

/** What a host agent needs. */
export interface HostAgentOptions {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly host: string;
  readonly cluster: string;
  readonly memoryBudget: MemoryBudget;
  readonly launcher: Launcher;
  /** Absent: simulated workers, which run no command. */
  readonly commands?: AllowedCommands;
  /** How busy the machine is, as a load average. */
  load(): number;
}

const BEAT_MS = 1_000;
/** Commands under way; an owner has 50 starts under way at the most (DESIGN 7.2). */
const COMMANDS_MAX = 2_000;
/** Some 400 bytes a worker: well below the 1 MiB that a NATS message may have by default. */
const PAGE_WORKERS = 1_000;

/** Answers the owners of slots for one host, and beats every second with what it has. */
export class HostAgent {
  readonly #options: HostAgentOptions;
  readonly #subscriptions: Subscription[] = [];
  #timer: Timer | undefined;
  #underWay = 0;
  #isLeaving = false;
  #isStopped = false;

  constructor(options: HostAgentOptions) {
    this.#options = options;
  }

  /** Finds again what runs, then listens and beats. */
  async start(): Promise<void> {
    const { bus, launcher, host, logger, memoryBudget } = this.#options;
    await launcher.recover(); // A1
    this.#subscriptions.push(
      launcher.watch((status) => this.#tell(status)),
      bus.subscribe(subjects.hostDriver(host), (message) => void this.#hear(message)),
      bus.onStatus((status) => {
        if (status === 'connected') this.#beat();
      }),
    );
    this.#beatAndGoOn();
    logger.info({ host, memoryBudgetBytes: memoryBudget.bytes, why: memoryBudget.why, running: launcher.running }, 'host agent is ready');
  }

  /**
   * Leaves for good, or until it is started again: starts nothing more, drains every worker, and tells the owners that none
   * is left, so that they do not wait for this host. What does not end is said in the log, and still counts.
   */
  async leave(graceMs: number = BUDGETS.stopGraceMs): Promise<void> {
    const { launcher, logger } = this.#options;
    this.#isLeaving = true;
    this.#beat();
    const workers = launcher.list().filter(({ state }) => state !== 'exited');
    logger.info({ workers: workers.length, graceMs }, 'the host leaves: its workers are drained');
    const outcomes = await Promise.allSettled(workers.map(({ slot, handle }) => launcher.destroy(slot, handle, graceMs)));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') logger.error({ error: String(outcome.reason) }, 'a worker did not end');
    }
    this.#beat();
  }

  /** Listens and beats no more. The workers run on (simulated ones end). */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    await this.#options.launcher.close();
  }

  #beatAndGoOn(): void {
    if (this.#isStopped) return;
    this.#beat();
    const delayMs = BEAT_MS * (0.9 + 0.2 * this.#options.random.next());
    this.#timer = this.#options.clock.setTimer(delayMs, () => this.#beatAndGoOn());
  }

  #beat(): void {
    const { bus, host, cluster, memoryBudget, launcher } = this.#options;
    if (!bus.isConnected) return;
    const beat: HostBeat = {
      host,
      cluster,
      kind: launcher.kind,
      pid: process.pid,
      memoryBudgetBytes: memoryBudget.bytes,
      memoryBudgetWhy: memoryBudget.why,
      workers: launcher.running,
      load: this.#options.load(),
      ...(this.#isLeaving ? { isLeaving: true } : {}),
    };
    bus.publish(subjects.hostBeat(host), encode(beat));
  }

  #tell(status: WorkerStatus): void {
    const { bus, host } = this.#options;
    if (bus.isConnected) bus.publish(subjects.hostWorker(host), encode(status));
  }

  async #hear(message: BusMessage): Promise<void> {
    if (this.#underWay >= COMMANDS_MAX) {
      const busy: HostAnswer = { ok: false, reason: `${COMMANDS_MAX} commands are under way`, retryable: true };
      return message.respond(encode(busy));
    }
    this.#underWay += 1;
    const answer = await this.#answer(message);
    this.#underWay -= 1;
    message.respond(encode(answer));
  }

  async #answer(message: BusMessage): Promise<HostAnswer> {
    try {
      return await this.#do(decodeAs(hostCommandSchema, message.data));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const retryable = isMusterError(error) ? error.retryable : true;
      this.#options.logger.warn({ reason, retryable }, 'a command of an owner failed');
      return { ok: false, reason, retryable };
    }
  }

  async #do(command: HostCommand): Promise<HostAnswer> {
    const { launcher } = this.#options;
    switch (command.type) {
      case 'create':
        return this.#create(command);
      case 'destroy':
        await launcher.destroy(command.slot, handleOf(command.handle), command.graceMs);
        return { ok: true, kind: 'gone' };
      case 'list': {
        const { after } = command;
        const rest = launcher.list().filter(({ slot }) => after === undefined || slot > after);
        return { ok: true, kind: 'list', workers: rest.slice(0, PAGE_WORKERS), hasMore: rest.length > PAGE_WORKERS };
      }
    }
  }

  async #create(command: Extract<HostCommand, { type: 'create' }>): Promise<HostAnswer> {
    const { commands, launcher, logger } = this.#options;
    const { slot, shard, pool, env, token, natsCredentials } = command;
    if (this.#isLeaving) return { ok: false, reason: 'the host is leaving', retryable: false }; // A3
    const refusal = await commands?.refusalOf(pool, command.command, env);
    if (refusal !== undefined) {
      logger.warn({ slot, pool, refusal }, 'a worker was refused');
      return { ok: false, reason: refusal, retryable: false };
    }
    const outcome = await launcher.create({ slot, shard, pool, command: command.command ?? [], env, token, natsCredentials });
    switch (outcome.kind) {
      case 'created':
        return { ok: true, kind: 'created', handle: outcome.handle };
      case 'exited':
        return { ok: true, kind: 'exited', reason: outcome.reason };
      case 'failed':
        return { ok: false, reason: outcome.reason, retryable: outcome.retryable };
    }
  }
}

/** Fields that are there, and no others, as the port wants them. */
export function handleOf(handle: {
  host?: string | undefined;
  pid?: number | undefined;
  startTime?: string | undefined;
  podUid?: string | undefined;
}) {
  return Object.fromEntries(Object.entries(handle).filter(([, value]) => value !== undefined)) as Partial<{
    host: string;
    pid: number;
    startTime: string;
    podUid: string;
  }>;
}
