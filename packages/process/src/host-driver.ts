// The control plane's side of the host agents: the `WorkerDriver` of processes, and of simulated workers.
//
// Owns: which hosts there are, by their beats. Does not own: any worker; what it says of them is what their hosts said.
// Invariants:
//   H1. A host that is silent keeps its memory counted, and nothing is said of its workers, until it is forgotten.
//   H2. A new worker goes to a host that is neither silent nor leaving.
//   H3. Whatever did not come back with an answer is `driver-unavailable`: the outcome is unknown, and asking again is safe.
import { BUDGETS, formatSize, type WorkerTemplate } from '@muster/domain';
import type {
  BusMessage,
  Capacity,
  Clock,
  CreateOutcome,
  HostStatus,
  Logger,
  MessageBus,
  Placement,
  Subscription,
  Timer,
  WorkerDriver,
  WorkerHandle,
  WorkerSpec,
  WorkerStatus,
} from '@muster/ports';
import {
  decodeAs,
  encode,
  type HostAnswer,
  type HostBeat,
  type HostCommand,
  hostAnswerSchema,
  hostBeatSchema,
  hostWorkerSchema,
  MusterError,
  subjects,
} from '@muster/protocol';
import { handleOf } from './host-agent.ts';
import { HostRoster, type KnownHost, TICK_MS } from './host-roster.ts';

/** What the driver needs; `kind` is which hosts it listens to. */
export interface HostDriverOptions {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cluster: string;
  readonly kind: 'process' | 'simulated';
}

const LIST_TIMEOUT_MS = 5_000;
/** On top of the grace and what SIGKILL may take: the way. */
const DESTROY_SLACK_MS = 2_000;
const ANSWER_BYTES_MAX = 1024 * 1024;
const PAGES_MAX = 200;
const WHY_HOSTS_MAX = 5;

/** `WorkerDriver` over the host agents of a cluster. A host that was not heard of for 5 s is silent. */
export class HostDriver implements WorkerDriver {
  readonly name: string;
  readonly #options: HostDriverOptions;
  readonly #roster = new HostRoster();
  readonly #listeners = new Set<(status: WorkerStatus) => void>();
  readonly #subscriptions: readonly Subscription[];
  #timer: Timer | undefined;
  #isClosed = false;

  /** Listens from now on; hosts are known within a second or so. */
  constructor(options: HostDriverOptions) {
    this.name = options.kind;
    this.#options = options;
    const { bus } = options;
    this.#subscriptions = [
      bus.subscribe(subjects.hostBeats(), (message) => this.#hearBeat(message)),
      bus.subscribe(subjects.hostWorkers(), (message) => this.#hearWorker(message)),
      bus.onStatus((status) => {
        if (status === 'connected') this.#roster.listenAnew();
      }),
    ];
    this.#tickLater();
  }

  capacity(template: WorkerTemplate): Capacity {
    const hosts = this.#roster.staying;
    if (hosts.length === 0) return { kind: 'unknown', why: `no ${this.name} host has been heard of` };
    const max = hosts.reduce((sum, host) => sum + roomOf(host, template), 0);
    const parts = hosts.slice(0, WHY_HOSTS_MAX).map((host) => {
      const { beat } = host;
      const silent = this.#roster.isSilent(host) ? ' (silent)' : '';
      return `${beat.host}${silent}: ${formatSize(beat.memoryBudgetBytes)} (${beat.memoryBudgetWhy}) for ${roomOf(host, template)}`;
    });
    const more = hosts.length > WHY_HOSTS_MAX ? `, and ${hosts.length - WHY_HOSTS_MAX} more` : '';
    return { kind: 'bounded', max, why: `${formatSize(template.memoryBytes)} each on ${hosts.length} host(s): ${parts.join(', ')}${more}` };
  }

  place(template: WorkerTemplate, assigned: ReadonlyMap<string, number>): Placement | undefined {
    let best: { readonly host: string; readonly free: number; readonly used: number } | undefined;
    for (const host of this.#roster.live) {
      const { host: name, memoryBudgetBytes, workers } = host.beat;
      const own = assigned.get(name) ?? 0;
      if (own >= roomOf(host, template)) continue;
      // What a beat counts, other pools' workers too, is a second old; what was assigned meanwhile is not yet in it.
      const used = Math.max(own, workers);
      const free = memoryBudgetBytes - used * template.memoryBytes;
      if (
        best === undefined ||
        free > best.free ||
        (free === best.free && (used < best.used || (used === best.used && name < best.host)))
      ) {
        best = { host: name, free, used };
      }
    }
    return best === undefined ? undefined : { host: best.host };
  }

  async create(spec: WorkerSpec): Promise<CreateOutcome> {
    const { slot, shard, pool, template, placement, token, natsCredentials } = spec;
    if (placement.host === undefined) return { kind: 'failed', reason: 'the slot has no host', retryable: false };
    if (this.#roster.isForgotten(placement.host)) return { kind: 'exited', reason: `host ${placement.host} was forgotten` };
    const command = template.command === undefined ? {} : { command: [...template.command] };
    const { env, memoryBytes } = template;
    const answer = await this.#ask(
      placement.host,
      {
        type: 'create',
        slot,
        shard,
        pool,
        ...command,
        env,
        memoryBytes,
        token,
        ...(natsCredentials === undefined ? {} : { natsCredentials }),
      },
      BUDGETS.createTimeoutMs,
    );
    if (!answer.ok) return { kind: 'failed', reason: answer.reason, retryable: answer.retryable };
    switch (answer.kind) {
      case 'created':
        return { kind: 'created', handle: handleOf(answer.handle ?? {}) };
      case 'exited':
        return { kind: 'exited', reason: answer.reason ?? 'ended' };
      default:
        throw unexpected(placement.host, answer);
    }
  }

  async destroy(slot: string, handle: WorkerHandle, graceMs: number): Promise<void> {
    if (handle.host === undefined) throw new MusterError('driver-unavailable', `slot ${slot} has no host to be destroyed on`);
    if (this.#roster.isForgotten(handle.host)) return;
    const answer = await this.#ask(
      handle.host,
      { type: 'destroy', slot, handle, graceMs: Math.round(graceMs) },
      graceMs + BUDGETS.stopHardMs + DESTROY_SLACK_MS,
    );
    if (!answer.ok) throw new MusterError('driver-unavailable', `host ${handle.host}: ${answer.reason}`);
  }

  async list(): Promise<{
    readonly workers: readonly WorkerStatus[];
    readonly silentHosts: readonly string[];
    readonly hosts: readonly string[];
  }> {
    if (!this.#options.bus.isConnected) throw new MusterError('driver-unavailable', 'the link to NATS is down');
    const workers: WorkerStatus[] = [];
    const hosts: string[] = [...this.#roster.forgotten];
    const silentHosts: string[] = [];
    const ask = async (host: KnownHost): Promise<void> => {
      const { host: name } = host.beat;
      const found = this.#roster.isSilent(host) ? undefined : await this.#tryListOf(name);
      if (found === undefined) silentHosts.push(name);
      else {
        hosts.push(name);
        workers.push(...found);
      }
    };
    await Promise.all(this.#roster.all.map(ask));
    return { workers, silentHosts, hosts };
  }

  watch(listener: (status: WorkerStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  describe(): readonly HostStatus[] {
    return this.#roster.describe();
  }

  forget(host: string): boolean {
    return this.#roster.forget(host);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#listeners.clear();
  }

  /** All workers of one host; undefined where it does not answer for all of them. */
  async #tryListOf(host: string): Promise<readonly WorkerStatus[] | undefined> {
    const workers: WorkerStatus[] = [];
    try {
      for (let page = 0; page < PAGES_MAX; page++) {
        const after = workers.at(-1)?.slot;
        const answer = await this.#ask(host, { type: 'list', ...(after === undefined ? {} : { after }) }, LIST_TIMEOUT_MS);
        if (!answer.ok || answer.kind !== 'list') throw unexpected(host, answer);
        workers.push(...answer.workers.map(statusOf));
        if (!answer.hasMore) return workers;
      }
      throw new MusterError('driver-unavailable', `host ${host} has more than ${workers.length} workers`);
    } catch (error) {
      this.#options.logger.warn({ host, error: String(error) }, 'a host did not list its workers');
      return undefined;
    }
  }

  async #ask(host: string, command: HostCommand, timeoutMs: number): Promise<HostAnswer> {
    try {
      const reply = await this.#options.bus.request(subjects.hostDriver(host), encode(command), { timeoutMs });
      return decodeAs(hostAnswerSchema, reply.data, ANSWER_BYTES_MAX);
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause);
      throw new MusterError('driver-unavailable', `host ${host} did not answer ${command.type}: ${said}`, { cause });
    }
  }

  #hearBeat(message: BusMessage): void {
    const { cluster, kind, logger } = this.#options;
    let beat: HostBeat;
    try {
      beat = decodeAs(hostBeatSchema, message.data);
    } catch (error) {
      return logger.debug({ error: String(error) }, 'a beat of a host cannot be read');
    }
    if (beat.cluster !== cluster || beat.kind !== kind || message.subject !== subjects.hostBeat(beat.host)) return;
    if (beat.isLeaving === true && beat.workers === 0) {
      if (this.#roster.all.some((host) => host.beat.host === beat.host)) logger.info({ host: beat.host }, 'a host has left');
      return this.#roster.leave(beat.host);
    }
    const isNew = !this.#roster.all.some((host) => host.beat.host === beat.host && !this.#roster.isSilent(host));
    if (!this.#roster.hear(beat)) return;
    if (isNew) logger.info({ host: beat.host, memoryBudgetBytes: beat.memoryBudgetBytes, why: beat.memoryBudgetWhy }, 'a host is there');
  }

  #hearWorker(message: BusMessage): void {
    let status: WorkerStatus;
    try {
      status = statusOf(decodeAs(hostWorkerSchema, message.data));
    } catch (error) {
      return this.#options.logger.debug({ error: String(error) }, 'news of a worker cannot be read');
    }
    const { host } = status.handle;
    if (host === undefined || message.subject !== subjects.hostWorker(host) || !this.#roster.all.some(({ beat }) => beat.host === host))
      return;
    for (const listener of this.#listeners) listener(status);
  }

  #tickLater(): void {
    this.#timer = this.#options.clock.setTimer(TICK_MS, () => {
      if (this.#isClosed) return;
      if (this.#options.bus.isConnected) {
        for (const host of this.#roster.tick()) this.#options.logger.warn({ host }, 'a host has fallen silent: its workers count as alive');
      }
      this.#tickLater();
    });
  }
}

/** How many workers of a template a host has memory for. */
function roomOf({ beat }: KnownHost, template: WorkerTemplate): number {
  return Math.floor(beat.memoryBudgetBytes / Math.max(1, template.memoryBytes));
}

function statusOf(status: ReturnType<typeof hostWorkerSchema.parse>): WorkerStatus {
  const { reason, handle, ...rest } = status;
  return { ...rest, handle: handleOf(handle), ...(reason === undefined ? {} : { reason }) };
}

function unexpected(host: string, answer: HostAnswer): MusterError {
  return new MusterError('driver-unavailable', `host ${host} answered what was not asked: ${JSON.stringify(answer).slice(0, 200)}`);
}
