// Starts workers as processes of their own, which outlive the agent that started them.
//
// Owns: the processes of this host's slots, their markers, locks and logs. Does not own: what may be started
// (allowed-commands.ts), who asks (host-agent.ts).
// Invariants:
//   L1. A slot is started at most once ever: its marker is on the disk before its process is.
//   L2. Nothing is started before all that an earlier agent started is known again.
//   L3. A slot that was destroyed before it was started is claimed by that, and never starts.
//   L4. What is done to one slot is done one after the other; slots do not wait for each other.
import { spawn } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger, Subscription, Timer, WorkerHandle, WorkerStatus } from '@muster/ports';
import { MusterError, tryShardOf } from '@muster/protocol';
import { type Launcher, type LaunchOutcome, type LaunchSpec, REASON_CHARS_MAX } from './launcher.ts';
import { findByVariable, startTimeOf, startTimesOf } from './process-probe.ts';
import { type SlotMarker, SlotMarkers } from './slot-markers.ts';
import { REASON_UNKNOWN, SlotProcess } from './slot-process.ts';
import { StartGate } from './start-gate.ts';
import { lockedCommand, tryFindFlock, tryResolveProgram } from './worker-command.ts';

/** What the launcher needs of its host. */
export interface ProcessLauncherOptions {
  readonly host: string;
  readonly cluster: string;
  /** What workers are to connect to. */
  readonly natsUrl: string;
  readonly stateFolder: string;
  /** Where the commands run. */
  readonly workFolder: string;
  /** What every worker gets of the agent's own environment; `PATH` in it finds the programs. */
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<ProcessLimits>;
}

/** Its bounds; times in ms. Default: 50 starts, 10,000 slots, a day and an hour, ten minutes. */
export interface ProcessLimits {
  /** Starts under way at once. */
  readonly startsMax: number;
  /** Slots remembered, ended ones included. */
  readonly markersMax: number;
  /** How long an ended slot is remembered when there is room, and how long in any case. */
  readonly keepMs: number;
  readonly keepMinMs: number;
  /** How long an ended slot is in the list. */
  readonly listMs: number;
}

const LIMITS: ProcessLimits = {
  startsMax: 50,
  markersMax: 10_000,
  keepMs: 24 * 3_600_000,
  keepMinMs: 3_600_000,
  listMs: 600_000,
};
const LOOK_MS = 1_000;
const PRUNE_TICKS = 60;

interface Entry {
  marker: SlotMarker;
  process: SlotProcess | undefined;
  /** The end of what is being done to this slot. */
  last: Promise<unknown>;
}

/** Workers as detached processes, each with a marker, a lock and a log named by its slot in the state folder. */
export class ProcessLauncher implements Launcher {
  readonly kind = 'process';
  readonly #options: ProcessLauncherOptions;
  readonly #limits: ProcessLimits;
  readonly #clock: Clock;
  readonly #markers: SlotMarkers;
  readonly #gate: StartGate;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(status: WorkerStatus) => void>();
  #flock: string | undefined;
  #timer: Timer | undefined;
  #ticks = 0;
  #isRecovered = false;
  #isClosed = false;

  constructor(options: ProcessLauncherOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#clock = options.clock;
    this.#markers = new SlotMarkers(join(options.stateFolder, 'slots'));
    this.#gate = new StartGate(this.#limits.startsMax);
  }

  async recover(): Promise<void> {
    for (const folder of ['logs', 'locks']) await mkdir(join(this.#options.stateFolder, folder), { recursive: true, mode: 0o700 });
    this.#flock = await tryFindFlock(this.#options.baseEnv['PATH'] ?? '');
    if (this.#flock === undefined) {
      this.#options.logger.warn({}, 'no flock --no-fork on this machine: only the markers keep a slot from being started twice');
    }
    const markers = await this.#markers.load();
    const startTimes = await startTimesOf(markers.flatMap((marker) => (isOpen(marker) && marker.pid !== undefined ? [marker.pid] : [])));
    // An agent that was killed between a start and the note of it left a marker without a pid.
    const bySlot = markers.some((marker) => isOpen(marker) && marker.pid === undefined) ? findByVariable('MUSTER_SLOT') : undefined;
    for (const marker of markers) await this.#recall(marker, startTimes, bySlot);
    this.#options.logger.info({ markers: markers.length, running: this.running }, 'found what an earlier agent had started');
    this.#isRecovered = true;
    this.#tick();
  }

  async create(spec: LaunchSpec): Promise<LaunchOutcome> {
    if (!this.#isRecovered || this.#isClosed) return { kind: 'failed', reason: 'the agent is starting or stopping', retryable: true };
    await this.#makeRoomFor(spec.slot);
    const known = this.#entries.get(spec.slot);
    if (known !== undefined) return this.#inTurn(known, async () => this.#outcomeOf(known));
    const entry = this.#enter({ slot: spec.slot, shard: spec.shard, pool: spec.pool, claimedWallMs: this.#clock.wallMs() });
    return this.#inTurn(entry, () => this.#gate.run(() => this.#startOnce(entry, spec)));
  }

  async destroy(slot: string, handle: WorkerHandle, graceMs: number): Promise<void> {
    await this.#makeRoomFor(slot);
    const known = this.#entries.get(slot);
    if (known === undefined) {
      const exited = { reason: 'destroyed before it was started', wallMs: this.#clock.wallMs() };
      const entry = this.#enter({ slot, shard: tryShardOf(slot) ?? '', pool: '', claimedWallMs: this.#clock.wallMs(), exited });
      await this.#inTurn(entry, () => this.#markers.claim(entry.marker)); // L3
      return;
    }
    await this.#inTurn(known, async () => undefined);
    const { process } = known;
    if (process === undefined || known.marker.exited !== undefined) return;
    const { pid, startTime } = process.identity;
    if ((handle.pid ?? pid) !== pid || (handle.startTime ?? startTime) !== startTime) return;
    await process.stop(graceMs);
    await this.#inTurn(known, async () => undefined);
  }

  list(): readonly WorkerStatus[] {
    const since = this.#clock.wallMs() - this.#limits.listMs;
    return [...this.#entries.values()]
      .filter(({ marker }) => marker.exited === undefined || marker.exited.wallMs > since)
      .map((entry) => this.#statusOf(entry))
      .sort((one, other) => (one.slot < other.slot ? -1 : 1));
  }

  get running(): number {
    let running = 0;
    for (const { marker } of this.#entries.values()) if (isOpen(marker)) running += 1;
    return running;
  }

  watch(listener: (status: WorkerStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await Promise.all([...this.#entries.values()].map((entry) => entry.last));
  }

  /** Whatever goes wrong after the claim, the slot has had its only start. */
  async #startOnce(entry: Entry, spec: LaunchSpec): Promise<LaunchOutcome> {
    try {
      return await this.#start(entry, spec);
    } catch (error) {
      const reason = `could not be started: ${error instanceof Error ? error.message : String(error)}`;
      await this.#ended(entry, reason).catch(() => undefined);
      return { kind: 'failed', reason, retryable: false };
    }
  }

  async #start(entry: Entry, spec: LaunchSpec): Promise<LaunchOutcome> {
    const { stateFolder, workFolder, baseEnv, natsUrl, cluster, logger } = this.#options;
    const [name = '', ...args] = spec.command;
    const program = await tryResolveProgram(name, workFolder, baseEnv['PATH'] ?? '');
    if (program === undefined) {
      this.#entries.delete(spec.slot);
      return { kind: 'failed', reason: `there is no program ${name}`, retryable: false };
    }
    if (!(await this.#markers.claim(entry.marker))) throw new Error(`slot ${spec.slot} has a marker that was not known`);
    const lock = join(stateFolder, 'locks', `${spec.slot}.lock`);
    const [file = '', ...rest] = this.#flock === undefined ? [program, ...args] : lockedCommand(this.#flock, lock, [program, ...args]);
    const log = await open(join(stateFolder, 'logs', `${spec.slot}.log`), 'a', 0o600);
    try {
      const child = await this.#gate.turn(() =>
        spawn(file, rest, {
          cwd: workFolder,
          detached: true,
          stdio: ['ignore', log.fd, log.fd],
          env: {
            ...baseEnv,
            ...spec.env,
            MUSTER_NATS_URL: natsUrl,
            MUSTER_CLUSTER: cluster,
            MUSTER_SLOT: spec.slot,
            MUSTER_SHARD: spec.shard,
            MUSTER_TOKEN: spec.token,
            ...(spec.natsCredentials === undefined ? {} : { MUSTER_NATS_CREDS: spec.natsCredentials }),
          },
        }),
      );
      child.on('error', (error) => logger.warn({ slot: spec.slot, error: error.message }, 'a worker could not be started'));
      child.unref();
      const { pid } = child;
      if (pid === undefined) throw new Error(`${file} has no process`);
      const identity = { pid, startTime: (await startTimeOf(pid)) ?? '' };
      this.#attach(entry, new SlotProcess({ identity, child, clock: this.#clock, isLocked: this.#flock !== undefined }));
      entry.marker = { ...entry.marker, ...identity };
      // It runs, whether or not that can be noted: without its pid it is found again by its environment.
      await this.#markers
        .update(entry.marker)
        .catch((error: unknown) => logger.error({ slot: spec.slot, error: String(error) }, 'a marker could not be written'));
      logger.info({ slot: spec.slot, pid }, 'worker started');
      this.#tell(entry);
      return { kind: 'created', handle: this.#handleOf(entry) };
    } finally {
      await log.close();
    }
  }

  async #recall(
    marker: SlotMarker,
    startTimes: ReadonlyMap<number, string>,
    bySlot: ReturnType<typeof findByVariable> | undefined,
  ): Promise<void> {
    const entry = this.#enter(marker);
    if (!isOpen(marker)) return;
    const { pid, startTime } = marker;
    const identity = pid !== undefined && startTime !== undefined ? { pid, startTime } : bySlot?.get(marker.slot);
    const isRunning = identity !== undefined && (pid === undefined || startTimes.get(identity.pid) === identity.startTime);
    if (!isRunning) return this.#ended(entry, pid === undefined ? 'the agent ended while it started it' : REASON_UNKNOWN);
    entry.marker = { ...marker, ...identity };
    this.#attach(entry, new SlotProcess({ identity, clock: this.#clock, isLocked: this.#flock !== undefined }));
    if (pid === undefined) await this.#markers.update(entry.marker);
  }

  #enter(marker: SlotMarker): Entry {
    const entry: Entry = { marker, process: undefined, last: Promise.resolve() };
    this.#entries.set(marker.slot, entry);
    return entry;
  }

  #attach(entry: Entry, process: SlotProcess): void {
    entry.process = process;
    void process.ended.then((reason) => this.#inTurn(entry, () => this.#ended(entry, reason)));
  }

  async #ended(entry: Entry, reason: string): Promise<void> {
    entry.marker = { ...entry.marker, exited: { reason: reason.slice(0, REASON_CHARS_MAX), wallMs: this.#clock.wallMs() } };
    this.#options.logger.info({ slot: entry.marker.slot, pid: entry.marker.pid, reason }, 'worker ended');
    this.#tell(entry);
    await this.#markers.update(entry.marker);
  }

  /** L4; what fails does not keep what comes after it. */
  async #inTurn<T>(entry: Entry, run: () => Promise<T>): Promise<T> {
    const mine = entry.last.then(run);
    entry.last = mine.catch(() => undefined);
    return mine;
  }

  #outcomeOf(entry: Entry): LaunchOutcome {
    const { exited } = entry.marker;
    if (exited !== undefined) return { kind: 'exited', reason: exited.reason };
    if (entry.process === undefined) return { kind: 'failed', reason: 'an earlier call could not start it', retryable: true };
    return { kind: 'created', handle: this.#handleOf(entry) };
  }

  #handleOf({ process }: Entry): WorkerHandle {
    return { host: this.#options.host, ...process?.identity };
  }

  #statusOf(entry: Entry): WorkerStatus {
    const { slot, shard, exited, pid, startTime, claimedWallMs } = entry.marker;
    return {
      slot,
      shard,
      handle: { host: this.#options.host, ...(pid === undefined ? {} : { pid }), ...(startTime === undefined ? {} : { startTime }) },
      state: exited !== undefined ? 'exited' : entry.process === undefined ? 'starting' : 'running',
      ...(exited === undefined ? {} : { reason: exited.reason }),
      ageMs: Math.max(0, this.#clock.wallMs() - claimedWallMs),
    };
  }

  #tell(entry: Entry): void {
    const status = this.#statusOf(entry);
    for (const listener of this.#listeners) listener(status);
  }

  #tick(): void {
    if (this.#isClosed) return;
    this.#ticks += 1;
    void Promise.all([this.#look(), this.#ticks % PRUNE_TICKS === 0 ? this.#prune() : 0])
      .catch((error: unknown) => this.#options.logger.error({ error: String(error) }, 'looking after the workers failed'))
      .finally(() => {
        if (!this.#isClosed) this.#timer = this.#clock.setTimer(LOOK_MS, () => this.#tick());
      });
  }

  async #look(): Promise<void> {
    const found = [...this.#entries.values()].flatMap(({ process }) => (process?.needsLook === true ? [process] : []));
    const startTimes = await startTimesOf(found.map(({ identity }) => identity.pid));
    for (const process of found) process.look(startTimes.get(process.identity.pid));
  }

  /** @throws MusterError `overloaded` when nothing that is remembered may be forgotten yet */
  async #makeRoomFor(slot: string): Promise<void> {
    const { markersMax } = this.#limits;
    if (this.#entries.has(slot) || this.#entries.size < markersMax || (await this.#prune()) > 0) return;
    throw new MusterError('overloaded', `${this.#entries.size} slots are remembered, the limit is ${markersMax}`);
  }

  /** Forgets ended slots: all past their time, and beyond the bound the oldest that nobody can still ask for. */
  async #prune(): Promise<number> {
    const nowMs = this.#clock.wallMs();
    const ended = [...this.#entries.values()]
      .flatMap(({ marker: { slot, exited } }) => (exited === undefined ? [] : [{ slot, ageMs: nowMs - exited.wallMs }]))
      .sort((one, other) => other.ageMs - one.ageMs);
    const beyond = this.#entries.size - this.#limits.markersMax + 1;
    const pruned = ended.filter(({ ageMs }, at) => ageMs > this.#limits.keepMs || (at < beyond && ageMs > this.#limits.keepMinMs));
    for (const { slot } of pruned) {
      this.#entries.delete(slot);
      await this.#markers.remove(slot);
      await rm(join(this.#options.stateFolder, 'locks', `${slot}.lock`), { force: true });
      await rm(join(this.#options.stateFolder, 'logs', `${slot}.log`), { force: true });
    }
    return pruned.length;
  }
}

function isOpen(marker: SlotMarker): boolean {
  return marker.exited === undefined;
}
