// Reservations with activation and release on workers that do nothing, by turns with the bare messages and appends.
//
// Invariants:
//   R1. The load is in processes of its own; both sides are loaded by the same ones, in the same shape.
//   R2. Rounds alternate within one run, and each side's figures are the medians of its rounds.
//   R3. Every grant of the cluster is in one history, whichever process got it.
import type { MessageBus } from '@muster/ports';
import type { PoolSummary } from '@muster/protocol';
import { askAdmin } from '../../cluster/ask-admin.ts';
import type { NatsTarget } from '../../cluster/find-servers.ts';
import type { CliContext } from '../../context.ts';
import { CliError, EXIT } from '../../exit.ts';
import { ReservationHistory } from '../history/reservation-history.ts';
import { describeMachine, loadAverage } from '../measure/machine.ts';
import { pause } from '../measure/pause.ts';
import { choosePool } from '../pool-choice.ts';
import { ChildProgram } from './child-program.ts';
import { addGrants } from './grant-log.ts';
import type { LoadCall, LoadResult, LoadShape, TargetName } from './load-messages.ts';
import { type ReserveReport, type RoundFigures, roundFigures, sideFigures } from './reserve-report.ts';
import { makeScratchStream, type SkeletonStart, skeletonSubjects } from './skeleton-stream.ts';

export interface ReserveBenchOptions {
  readonly clients: number;
  /** Of measuring, for each side. */
  readonly durationMs: number;
  /** Reservations offered a second, instead of a closed loop. */
  readonly rate: number | undefined;
  /** Reservations at once, instead of a closed loop. */
  readonly burst: number | undefined;
  readonly rounds: number;
  /** Of load on each side before the first round: code that has not run yet is slow. */
  readonly warmUpMs: number;
  /** What the pool's policy must be. */
  readonly recycle: 'same-org' | 'shared' | undefined;
  readonly pool: string | undefined;
  readonly processes: number;
  readonly hasSkeleton: boolean;
}

/** Reservations of an open loop that may be under way at once. */
const OPEN_CLIENTS = 512;
/** Unmeasured at the start of each round. */
const ROUND_WARM_UP_MS = 500;
const START_IN_MS = 300;
const BETWEEN_ROUNDS_MS = 200;
const CALL_SLACK_MS = 30_000;
const SETTLED_WITHIN_MS = 120_000;
const LOOK_MS = 100;

/** Workers to keep warm, so that nobody finds none. */
export function floorFor(options: Pick<ReserveBenchOptions, 'clients' | 'rate' | 'burst'>): number {
  return Math.ceil(clientsOf(options) * 1.25) + 16;
}

function clientsOf({ clients, rate, burst }: Pick<ReserveBenchOptions, 'clients' | 'rate' | 'burst'>): number {
  return burst ?? (rate === undefined ? clients : OPEN_CLIENTS);
}

/** @throws CliError, MusterError where the run could not be made; the signal's reason */
export async function benchReserve(
  context: CliContext,
  target: NatsTarget,
  options: ReserveBenchOptions,
  signal: AbortSignal,
): Promise<ReserveReport> {
  await using resources = new AsyncDisposableStack();
  const bus = await context.connect(target);
  resources.defer(() => bus.close());
  const pool = await choosePool(bus, options.pool, 'simulated');
  if (options.recycle !== undefined && pool.recycle !== options.recycle) {
    throw new CliError('usage', `pool ${pool.pool} has recycle: ${pool.recycle}, not ${options.recycle}`, { exitCode: EXIT.usage });
  }
  const { replicas } = await askAdmin(bus, { type: 'status' });
  const run = new ReserveRun({ context, bus, target, options, pool, signal });
  return await run.run(replicas.filter(({ isAlive }) => isAlive).length, resources);
}

interface ReserveRunParts {
  readonly context: CliContext;
  readonly bus: MessageBus;
  readonly target: NatsTarget;
  readonly options: ReserveBenchOptions;
  readonly pool: PoolSummary;
  readonly signal: AbortSignal;
}

class ReserveRun {
  readonly #parts: ReserveRunParts;
  readonly #id: string;
  readonly #history = new ReservationHistory();
  readonly #refused: string[] = [];
  #load: readonly ChildProgram[] = [];
  #warmUpErrors = 0;

  constructor(parts: ReserveRunParts) {
    this.#parts = parts;
    this.#id = parts.context.random.id(6);
  }

  async run(replicas: number, resources: AsyncDisposableStack): Promise<ReserveReport> {
    const { options, pool, context } = this.#parts;
    const clients = clientsOf(options);
    await this.#settled(Math.min(clients, options.burst ?? 1));
    if (options.hasSkeleton) await this.#startSkeleton(replicas, resources);
    await this.#startLoad(resources);
    await this.#prepare();

    const loadBefore = loadAverage();
    const rounds: RoundFigures[] = [];
    const errorSamples: string[] = [];
    for (const target of this.#targets) errorSamples.push(...(await this.#warmUp(target)));
    for (let round = 1; round <= options.rounds; round++) {
      // By turns also in who begins, so that a drift of the machine does not favour one side.
      for (const target of round % 2 === 1 ? this.#targets : this.#targets.toReversed()) {
        const results = await this.#round(target, round, this.#roundMs);
        rounds.push(roundFigures(target, round, this.#roundMs, results, loadAverage()));
        errorSamples.push(...results.flatMap((result) => result.errorSamples));
        this.#say(rounds.at(-1));
      }
    }

    const muster = sideFigures(rounds, 'muster');
    const skeleton = sideFigures(rounds, 'skeleton');
    const verdict = this.#history.check();
    const lost = verdict.lost + this.#refused.length;
    const errors = muster.errors + skeleton.errors + this.#warmUpErrors;
    return {
      ok: lost === 0 && verdict.givenTwice === 0 && errors === 0,
      mode: options.burst !== undefined ? 'burst' : options.rate !== undefined ? 'open' : 'closed',
      clients,
      offeredPerSecond: options.rate ?? null,
      processes: this.#load.length,
      replicas,
      pool: pool.pool,
      recycle: pool.recycle,
      durationMs: options.durationMs,
      reservationsPerSecond: muster.perSecond,
      p50Ms: muster.p50Ms,
      p99Ms: muster.p99Ms,
      reserveP50Ms: muster.reserveP50Ms,
      reserveP99Ms: muster.reserveP99Ms,
      releaseP50Ms: muster.releaseP50Ms,
      allAnsweredMs: muster.allAnsweredMs,
      sentLateP50Ms: muster.lateP50Ms,
      skeletonPerSecond: skeleton.perSecond,
      skeletonP50Ms: skeleton.p50Ms,
      skeletonP99Ms: skeleton.p99Ms,
      skeletonReserveP50Ms: skeleton.reserveP50Ms,
      skeletonAllAnsweredMs: skeleton.allAnsweredMs,
      misses: muster.misses,
      errors,
      errorSamples: errorSamples.slice(0, 10),
      lost,
      givenTwice: verdict.givenTwice,
      findings: [...this.#refused, ...verdict.findings].slice(0, 20),
      rounds,
      loadAverageBefore: loadBefore,
      machine: describeMachine(),
      takenAt: new Date(context.clock.wallMs()).toISOString(),
    };
  }

  get #roundMs(): number {
    const { durationMs, rounds } = this.#parts.options;
    return Math.max(1, Math.round(durationMs / rounds));
  }

  get #targets(): readonly TargetName[] {
    return this.#parts.options.hasSkeleton ? ['muster', 'skeleton'] : ['muster'];
  }

  async #startSkeleton(replicas: number, resources: AsyncDisposableStack): Promise<void> {
    const { bus, target, pool } = this.#parts;
    const run = this.#id;
    resources.use(await makeScratchStream(bus, run));
    const start = async (role: SkeletonStart['role'], number: number): Promise<void> => {
      const child = this.#fork('skeleton-process', resources);
      await child.call({ type: 'start', role, name: `${role}-${number}`, nats: target, run, recycle: pool.recycle }, CALL_SLACK_MS);
    };
    await start('worker', 1);
    await start('owner', 1);
    for (let number = 1; number < replicas; number++) await start('follower', number);
  }

  async #startLoad(resources: AsyncDisposableStack): Promise<void> {
    const { options, target, pool } = this.#parts;
    const count = Math.min(options.processes, clientsOf(options));
    this.#load = Array.from({ length: count }, () => this.#fork('load-process', resources));
    const skeletonSubject = skeletonSubjects(this.#id).command;
    await this.#callAll<void>((index) => ({
      type: 'connect',
      nats: target,
      pool: pool.pool,
      skeletonSubject,
      orgPrefix: `bench-${this.#id}-${index}`,
    }));
  }

  /** Each client has had a worker before: with `same-org` that one is parked for it. A burst is on warm ones. */
  async #prepare(): Promise<void> {
    const { options } = this.#parts;
    if (options.burst !== undefined) return;
    for (const target of this.#targets)
      await this.#callAll<void>((index) => ({ type: 'prepare', target, clients: this.#clientsOf(index) }));
    await this.#settled(1);
  }

  /** Round 0: its grants count in the history, its figures do not. @returns what failed */
  async #warmUp(target: TargetName): Promise<readonly string[]> {
    const { warmUpMs } = this.#parts.options;
    if (warmUpMs === 0) return [];
    const results = await this.#round(target, 0, warmUpMs);
    this.#warmUpErrors += results.reduce((sum, { errors }) => sum + errors, 0);
    return results.flatMap(({ errorSamples }) => errorSamples);
  }

  async #round(target: TargetName, round: number, durationMs: number): Promise<readonly LoadResult[]> {
    const { context, options, signal } = this.#parts;
    if (options.burst !== undefined && target === 'muster') await this.#settled(options.burst);
    signal.throwIfAborted();
    await pause(context.clock, BETWEEN_ROUNDS_MS);
    const isBurst = options.burst !== undefined;
    const startWallMs = context.clock.wallMs() + START_IN_MS;
    const results = await this.#callAll<LoadResult>((index) => ({
      type: 'run',
      target,
      shape: this.#shapeOf(index),
      startWallMs,
      warmUpMs: isBurst ? 0 : ROUND_WARM_UP_MS,
      durationMs: isBurst ? 0 : durationMs,
      ...(isBurst ? { round: `-${round}` } : {}),
    }));
    if (target === 'muster') {
      for (const [index, result] of results.entries()) {
        addGrants(this.#history, `client ${index} round ${round} request`, result.grants);
        for (const { reservation, why } of result.refusedReleases) this.#refused.push(`${reservation} was no longer its holder's: ${why}`);
      }
    }
    return results;
  }

  /** This process's part of the load. */
  #shapeOf(index: number): LoadShape {
    const { options } = this.#parts;
    const clients = this.#clientsOf(index);
    if (options.burst !== undefined) return { kind: 'burst', clients };
    if (options.rate === undefined) return { kind: 'closed', clients };
    const count = this.#load.length;
    return { kind: 'open', perSecond: options.rate / count, clients, offsetMs: (index * 1_000) / options.rate };
  }

  #clientsOf(index: number): number {
    const clients = clientsOf(this.#parts.options);
    const count = this.#load.length;
    return Math.floor(clients / count) + (index < clients % count ? 1 : 0);
  }

  #callAll<T>(call: (index: number) => LoadCall): Promise<T[]> {
    const timeoutMs = Math.max(this.#roundMs, this.#parts.options.warmUpMs) + CALL_SLACK_MS;
    return Promise.all(this.#load.map((child, index) => child.call<T>(call(index), timeoutMs)));
  }

  /** Resolves when the pool has its floor and at least so many warm, and nothing is starting or going. @throws CliError */
  async #settled(warmMin: number): Promise<void> {
    const { bus, context, pool, signal } = this.#parts;
    const { clock } = context;
    const untilMs = clock.monotonicMs() + SETTLED_WITHIN_MS;
    for (;;) {
      signal.throwIfAborted();
      const { pools } = await askAdmin(bus, { type: 'pools' });
      const now = pools.find((one) => one.pool === pool.pool);
      const isQuiet = now !== undefined && now.spawning + now.draining === 0 && now.warm >= Math.max(warmMin, now.floor);
      if (isQuiet) return;
      if (clock.monotonicMs() >= untilMs) {
        const { warm = 0, floor = 0, spawning = 0, draining = 0 } = now ?? {};
        throw new CliError('timeout', `pool ${pool.pool} has ${warm} warm (floor ${floor}), ${spawning} spawning, ${draining} draining`, {
          hint: `the bench wants ${Math.max(warmMin, floor)} warm and nothing under way; a higher floor may help`,
        });
      }
      await pause(clock, LOOK_MS, signal);
    }
  }

  #fork(module: string, resources: AsyncDisposableStack): ChildProgram {
    return resources.use(new ChildProgram(module, this.#parts.context.clock));
  }

  #say(figures: RoundFigures | undefined): void {
    const { context } = this.#parts;
    if (figures === undefined || !context.isTerminal) return;
    const { target, round, perSecond, p50Ms, p99Ms, misses, errors } = figures;
    context.err(`round ${round} ${target.padEnd(8)} ${perSecond}/s p50 ${p50Ms} ms p99 ${p99Ms} ms, ${misses} misses, ${errors} errors`);
  }
}
