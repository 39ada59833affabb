// The main scenario: many tenants at once, each with a worker of its own and queries that go straight to it.
//
// Invariants:
//   B1. All tenants are connected before the first one asks, and ask at once.
//   B2. Rates count from the moment when all are served; errors count from the first.
//   B3. Whatever happens, what was reserved is released and what was held is resumed, as far as anybody answers.
import { MusterClient } from '@muster/client';
import type { MessageBus } from '@muster/ports';
import { askAdmin } from '../../cluster/ask-admin.ts';
import type { NatsTarget } from '../../cluster/find-servers.ts';
import type { CliContext } from '../../context.ts';
import { ReleaseWitness } from '../history/release-witness.ts';
import { ReservationHistory } from '../history/reservation-history.ts';
import { describeMachine, loadAverage } from '../measure/machine.ts';
import { perSecond, roundTo } from '../measure/numbers.ts';
import { pause } from '../measure/pause.ts';
import { choosePool } from '../pool-choice.ts';
import { ColdStart } from './cold-start.ts';
import { PoolObserver } from './pool-observer.ts';
import { progressLine } from './progress.ts';
import { QueryMeter } from './query-meter.ts';
import { evaluateScaleUp, startedOf, upIntents } from './scale-up.ts';
import { Tenant } from './tenant.ts';
import type { TenantsReport } from './tenants-report.ts';

export interface TenantsOptions {
  readonly orgs: number;
  /** Of each tenant. */
  readonly qps: number;
  /** From the moment when all are served. */
  readonly durationMs: number;
  readonly isCold: boolean;
  readonly retryMs: number | undefined;
  readonly pool: string | undefined;
  readonly inFlightMax: number;
  readonly reserveTimeoutMs: number;
  /** Told a line a second; undefined: nobody looks. */
  readonly progress: ((line: string) => void) | undefined;
}

const CONNECTIONS_MAX = 100;
const PROGRESS_MS = 1_000;
const INTENTS_WITHIN_MS = 10_000;
/** Until a replica says whose the slots are; and until what it says is no longer taken for an old view. */
const VERIFY_WITHIN_MS = 30_000;
const OLD_VIEW_MS = 5_000;

/** @throws CliError, MusterError where the run could not be made; the signal's reason */
export async function benchTenants(
  context: CliContext,
  target: NatsTarget,
  options: TenantsOptions,
  signal: AbortSignal,
): Promise<TenantsReport> {
  await using resources = new AsyncDisposableStack();
  const run = new TenantsRun(context, options, signal);
  const connect = async (): Promise<MessageBus> => {
    const bus = await context.connect(target);
    resources.defer(() => bus.close());
    return bus;
  };
  return await run.run(await connect(), connect, resources);
}

class TenantsRun {
  readonly #context: CliContext;
  readonly #options: TenantsOptions;
  readonly #signal: AbortSignal;
  readonly #history = new ReservationHistory();
  readonly #meter = new QueryMeter();
  readonly #tenants: Tenant[] = [];
  readonly #end = new AbortController();

  constructor(context: CliContext, options: TenantsOptions, signal: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#signal = signal;
  }

  async run(bus: MessageBus, connect: () => Promise<MessageBus>, resources: AsyncDisposableStack): Promise<TenantsReport> {
    const { clock } = this.#context;
    const { orgs, qps, durationMs, isCold, retryMs } = this.#options;
    const pool = await choosePool(bus, this.#options.pool, 'process');
    const { replicas } = await askAdmin(bus, { type: 'status' });
    const observer = new PoolObserver(bus, clock, pool.pool);
    const cold = new ColdStart(bus, clock, pool.pool, observer);
    resources.defer(() => cold.giveUp());
    if (isCold) await cold.begin(this.#signal);

    const connections = await this.#connect(connect, resources, pool.pool);
    resources.defer(() => this.#releaseAll()); // B3; nothing is left to do where all went well
    resources.defer(() => this.#end.abort());
    const onAbort = (): void => this.#end.abort();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    resources.defer(() => this.#signal.removeEventListener('abort', onAbort));

    const warmBefore = (await observer.tryPool())?.warm ?? pool.warm;
    const intentBefore = (await askAdmin(bus, { type: 'intents', limit: 1 })).intents[0]?.n ?? 0;
    const served = new AbortController();
    const watching = observer.watch(AbortSignal.any([served.signal, this.#end.signal]));
    const progress = this.#showProgress(observer);
    const reserving = this.#tenants.map((tenant) => this.#reserveAndWork(tenant));
    let resumedMs: number | undefined;
    if (isCold) {
      await cold.waitFor(orgs, this.#signal);
      resumedMs = await cold.resume();
    }
    const works = (await Promise.all(reserving)).map(({ work }) => work);
    this.#signal.throwIfAborted();
    const allServedMs = clock.monotonicMs();
    this.#meter.measureFrom(allServedMs);
    this.#meter.measureUntil(allServedMs + durationMs);
    served.abort();
    await watching;
    await observer.tryLook();
    const intents = (await observer.tryIntents(INTENTS_WITHIN_MS, this.#end.signal)) ?? [];
    const firstMissMs = resumedMs ?? this.#firstMissMs();
    const offsetMs = clock.monotonicMs() - clock.wallMs();
    const scaleUp = evaluateScaleUp({
      firstMissMs,
      wanted: orgs,
      warmBefore,
      intentBefore,
      intents,
      toMonotonicMs: (wallMs) => wallMs + offsetMs,
      slots: observer.sightings,
    });

    await pause(clock, allServedMs + durationMs - clock.monotonicMs(), this.#signal);
    this.#signal.throwIfAborted();
    const load = loadAverage();
    this.#end.abort();
    await Promise.all(works);
    await progress;
    await this.#verifyHeld(observer);
    const lastIntent = firstMissMs === undefined ? intentBefore : Math.max(intentBefore, ...intents.map(({ n }) => n));
    const refills = upIntents((await observer.tryIntents(INTENTS_WITHIN_MS)) ?? [], lastIntent);
    await this.#releaseAll();

    const { lost, givenTwice, findings } = this.#history.check();
    const meter = this.#meter;
    return {
      ok: lost === 0 && givenTwice === 0 && meter.errors === 0,
      orgs,
      qps,
      replicas: replicas.filter(({ isAlive }) => isAlive).length,
      pool: pool.pool,
      floor: pool.floor,
      isCold,
      retryMs: retryMs ?? null,
      connections,
      measuredMs: durationMs,
      intents: scaleUp.intents,
      slotsStarted: scaleUp.slotsStarted,
      slotsRefilled: refills.reduce((sum, intent) => sum + startedOf(intent), 0),
      misses: this.#tenants.filter((tenant) => tenant.firstMissMs !== undefined).length,
      missAnswers: this.#missAnswers(),
      firstMissToIntentMs: scaleUp.firstMissToIntentMs,
      firstMissToLastStartMs: scaleUp.firstMissToLastStartMs,
      firstMissTo30WarmMs: scaleUp.firstMissToWantedWarmMs,
      firstMissToAllServedMs: firstMissMs === undefined ? null : roundTo(allServedMs - firstMissMs, 1),
      queriesOffered: meter.offered,
      queriesCompleted: meter.completed,
      queriesSkipped: meter.skipped,
      queriesBeforeAllServed: meter.completedBefore,
      queriesPerSecond: roundTo(perSecond(meter.completed, durationMs), 1),
      queryP50Ms: meter.latency.percentileMs(0.5),
      queryP99Ms: meter.latency.percentileMs(0.99),
      errors: meter.errors,
      errorSamples: meter.errorSamples,
      lost,
      givenTwice,
      findings,
      loadAverage: load,
      machine: describeMachine(),
    };
  }

  async #connect(connect: () => Promise<MessageBus>, resources: AsyncDisposableStack, pool: string): Promise<number> {
    const { clock, random, logger } = this.#context;
    const { orgs, qps, inFlightMax, retryMs, reserveTimeoutMs } = this.#options;
    const connections = Math.min(orgs, CONNECTIONS_MAX);
    const buses = await Promise.all(Array.from({ length: connections }, connect));
    // Of this run only, so that nothing of an earlier one is parked for it.
    const runId = random.id(6);
    for (let number = 1; number <= orgs; number++) {
      const org = `bench-${runId}-${String(number).padStart(3, '0')}`;
      const bus = new ReleaseWitness(buses[number % connections] as MessageBus, (_reservation, why) => tenant.lost(`its release: ${why}`));
      const client = new MusterClient({ bus, clock, random, logger });
      resources.defer(() => client.close());
      const tenant = new Tenant({
        org,
        number,
        client,
        pool,
        clock,
        random,
        qps,
        inFlightMax,
        retryMs,
        reserveTimeoutMs,
        history: this.#history,
        meter: this.#meter,
      });
      this.#tenants.push(tenant);
    }
    return connections;
  }

  /** Resolves when the tenant is served, or cannot be; its work goes on. */
  async #reserveAndWork(tenant: Tenant): Promise<{ readonly work: Promise<void> }> {
    try {
      await tenant.reserve(this.#end.signal);
    } catch (error) {
      if (!this.#end.signal.aborted) this.#meter.failed(`${tenant.org} got no worker: ${(error as Error).message}`);
      return { work: Promise.resolve() };
    }
    return { work: tenant.work(this.#end.signal) };
  }

  #firstMissMs(): number | undefined {
    const misses = this.#tenants.flatMap((tenant) => tenant.firstMissMs ?? []);
    return misses.length === 0 ? undefined : Math.min(...misses);
  }

  #missAnswers(): number {
    return this.#tenants.reduce((sum, tenant) => sum + tenant.missAnswers, 0);
  }

  async #showProgress(observer: PoolObserver): Promise<void> {
    const { progress } = this.#options;
    const { clock } = this.#context;
    const startMs = clock.monotonicMs();
    for (let second = 1; progress !== undefined; second++) {
      await pause(clock, startMs + second * PROGRESS_MS - clock.monotonicMs(), this.#end.signal);
      if (this.#end.signal.aborted) return;
      const pool = await observer.tryPool(PROGRESS_MS / 2);
      const taken = this.#meter.takeSecond();
      const missed = this.#tenants.filter((tenant) => tenant.firstMissMs !== undefined || tenant.servedMs === undefined).length;
      const { errors } = this.#meter;
      progress(progressLine({ seconds: second, pool, queries: taken, missed, missAnswers: this.#missAnswers(), errors }));
    }
  }

  /** What the cluster itself says of each tenant's reservation, before it is released. */
  async #verifyHeld(observer: PoolObserver): Promise<void> {
    const { clock } = this.#context;
    const startMs = clock.monotonicMs();
    for (;;) {
      const slots = await observer.tryLook();
      const byId = new Map(slots?.map((slot) => [slot.slot, slot]));
      const wrong = this.#tenants.flatMap((tenant) => {
        const { reservation } = tenant;
        // One that is known to be lost is counted already.
        if (reservation === undefined || reservation.lostReason !== undefined) return [];
        const slot = byId.get(reservation.slot);
        return slot?.reservation === reservation.id ? [] : [{ tenant, slot }];
      });
      if (slots !== undefined && wrong.length === 0) return;
      const withinMs = slots === undefined ? VERIFY_WITHIN_MS : OLD_VIEW_MS;
      if (clock.monotonicMs() - startMs >= withinMs || this.#signal.aborted) {
        if (slots === undefined) this.#meter.failed('no replica says whose the slots are');
        else for (const { tenant, slot } of wrong) tenant.lost(`the cluster shows its slot as ${slot?.state ?? 'gone'}`);
        return;
      }
      await pause(clock, PROGRESS_MS, this.#signal);
    }
  }

  async #releaseAll(): Promise<void> {
    const releases = await Promise.allSettled(this.#tenants.map((tenant) => tenant.release()));
    for (const release of releases) {
      if (release.status === 'rejected') this.#meter.failed(`a release failed: ${String(release.reason)}`);
    }
  }
}
