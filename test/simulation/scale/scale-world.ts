// A large cluster in one process: the real runtime, pools, worker SDK and client SDK on the memory ports.
//
// What makes it fit is that what is stored is immutable: the replicas share each decoded record (`SharedRecords`). The
// checkers of the journal look on as in the small runs; there is no noise here but replicas that are killed.
import { createHash } from 'node:crypto';
import { MusterClient } from '@muster/client';
import type { ClusterConfig } from '@muster/domain';
import {
  MemoryBus,
  MemoryJournal,
  MemoryJournalServer,
  MemoryMetrics,
  MemoryNetwork,
  MemoryWorkerDriver,
  SeededRandom,
  silentLogger,
} from '@muster/ports';
import { type PoolNode, startPools } from '@muster/pool';
import { JANITOR_SHARD, parseClusterConfig, reservationToken, shardsOf, slotToken } from '@muster/protocol';
import { type Runtime, SharedRecords, startRuntime } from '@muster/runtime';
import { JournalChecker } from '../check/journal-checker.ts';
import { Verdict } from '../check/verdict.ts';
import { SimClock } from '../world/sim-clock.ts';
import type { ScalePlan } from './scale-plan.ts';
import { ScaleTenant } from './scale-tenant.ts';
import { ScaleWorker } from './scale-worker.ts';

const KEY = 'a key for simulations only';
export const POOL = 'main';
/** Tenants of one client process. */
const TENANTS_PER_CLIENT = 100;
const LATENCY_MIN_MS = 0.1;
const LATENCY_SPREAD_MS = 0.4;
const START_MS = 200;

export interface ScaleReplica {
  readonly name: string;
  readonly bus: MemoryBus;
  readonly runtime: Runtime;
  readonly pools: PoolNode;
}

export class ScaleWorld {
  readonly plan: ScalePlan;
  readonly clock = new SimClock();
  readonly network: MemoryNetwork;
  readonly server = new MemoryJournalServer({ clock: this.clock });
  readonly driver: MemoryWorkerDriver;
  readonly replicas: ScaleReplica[] = [];
  readonly tenants: ScaleTenant[] = [];
  readonly verdict = new Verdict(() => this.clock.monotonicMs());
  readonly journal: JournalChecker;
  readonly shared = new SharedRecords();
  readonly misses = new Map<string, number>();
  /** How long each grant took, ms. */
  readonly tookMs: number[] = [];
  /** Stored records, and a hash of them all. */
  records = 0;
  isClosing = false;
  readonly #config: ClusterConfig;
  readonly #workers = new Map<string, ScaleWorker>();
  readonly #killed = new Set<string>();
  readonly #hash = createHash('sha256');
  #seen = 0;
  #made = 0;

  constructor(plan: ScalePlan) {
    this.plan = plan;
    this.#config = configOf(plan);
    const { clock } = this;
    const random = new SeededRandom(plan.seed);
    this.network = new MemoryNetwork({
      clock,
      random: new SeededRandom(plan.seed + 1),
      transit: () => [LATENCY_MIN_MS + random.next() * LATENCY_SPREAD_MS],
    });
    this.driver = new MemoryWorkerDriver({ clock, startMs: START_MS, play: (spec) => this.#play(spec) });
    this.journal = new JournalChecker(this.verdict, {
      nowMs: () => clock.monotonicMs(),
      isGone: (slot) => this.#workers.get(slot)?.isGone !== false,
      isOutOfSight: () => false,
      dirtyOf: (slot) => {
        const worker = this.#workers.get(slot);
        return worker?.isGone === false ? worker.dirtyOf : undefined;
      },
      rateMax: 1,
      isWell: (name) => !this.#killed.has(name),
      isAlive: (name) => !this.#killed.has(name),
    });
    this.server.onChange(() => this.#stored());
    clock.afterStep = () => {
      const { violation } = this.verdict;
      if (violation !== undefined) throw new Error(`${violation.rule} at ${violation.atMs.toFixed(0)} ms: ${violation.said}`);
    };
  }

  get shards(): readonly string[] {
    return [JANITOR_SHARD, ...shardsOf(POOL, this.plan.shards)];
  }

  get hash(): string {
    return this.#hash.copy().digest('hex').slice(0, 16);
  }

  /** Slots by their state, as the journals have them. */
  count(...states: readonly string[]): number {
    return this.shards.reduce((sum, shard) => sum + this.journal.fold(shard).count(...states), 0);
  }

  ownersOf(shard: string): readonly ScaleReplica[] {
    return this.replicas.filter(({ runtime }) => runtime.isOwned(shard));
  }

  async addReplica(): Promise<void> {
    const { clock, network, server, driver, plan } = this;
    const name = `replica-${this.#made++}`;
    const random = new SeededRandom(plan.seed * 1_000 + this.#made);
    const bus = new MemoryBus({ network, name, random });
    const metrics = new MemoryMetrics();
    const journal = new MemoryJournal({ bus, server });
    const common = { cluster: 'scale', bus, clock, random, logger: silentLogger, metrics };
    const runtime = await startRuntime({ ...common, replica: name, journal, shared: this.shared });
    const pools = await startPools({
      ...common,
      runtime,
      version: '0.0.0',
      drivers: new Map([['simulated', driver]]),
      initialConfig: this.#config,
      secrets: {
        slotToken: (slot) => slotToken(KEY, slot),
        reservationToken: (reservation, slot, epoch) => reservationToken(KEY, reservation, slot, epoch),
      },
    });
    this.replicas.push({ name, bus, runtime, pools });
  }

  /** Nothing of it leaves any more, and nothing comes in: to all others that is `kill -9`. */
  kill(replica: ScaleReplica): void {
    this.#killed.add(replica.name);
    this.replicas.splice(this.replicas.indexOf(replica), 1);
    void replica.bus.close();
  }

  /** All orgs begin to come and go, by client processes of a hundred each. */
  addTenants(): void {
    const { plan, clock, network } = this;
    let client: MusterClient | undefined;
    for (let n = 0; n < plan.orgs; n += 1) {
      if (client === undefined || n % TENANTS_PER_CLIENT === 0) {
        const bus = new MemoryBus({ network, name: `client-${n}` });
        client = new MusterClient({ bus, clock, random: new SeededRandom(plan.seed * 3_000 + n), logger: silentLogger });
      }
      const tenant = new ScaleTenant({
        org: orgName(n),
        pool: POOL,
        client,
        clock,
        seed: plan.seed * 2_000_000 + n,
        holdMaxMs: plan.holdMaxMs,
        pauseMaxMs: plan.pauseMaxMs,
        isClosing: () => this.isClosing,
        told: (org, reservation, slot, tookMs) => this.#told(org, reservation, slot, tookMs),
        missed: (reason) => void this.misses.set(reason, (this.misses.get(reason) ?? 0) + 1),
        lost: (reservation, reason) => this.verdict.broken('G7', `${reservation} is lost: ${reason}`),
      });
      this.tenants.push(tenant);
      void tenant.live();
    }
  }

  #play(spec: ConstructorParameters<typeof ScaleWorker>[0]['spec']): ScaleWorker {
    const { clock, network, plan } = this;
    const worker = new ScaleWorker({
      spec,
      clock,
      network,
      seed: plan.seed * 4_000_000 + this.#workers.size,
      activating: ({ slot, dirtyOf }, org) => {
        if (dirtyOf !== undefined && dirtyOf !== org) this.verdict.broken('G8', `${slot} is ${org}'s, and has the data of ${dirtyOf}`);
      },
    });
    this.#workers.set(spec.slot, worker);
    return worker;
  }

  #told(org: string, reservation: string, slot: string, tookMs: number): void {
    this.tookMs.push(tookMs);
    const issue = this.journal.issues.get(reservation);
    if (issue === undefined) this.verdict.broken('G2', `${org} is told that it has ${reservation}, which is not durable`);
    else if (issue.org !== org) this.verdict.broken('G1', `${org} is told that it has ${reservation}, which is ${issue.org}'s`);
    const dirtyOf = this.#workers.get(slot)?.dirtyOf;
    if (dirtyOf !== org) this.verdict.broken('G1', `${org} is given ${slot}, which has the data of ${dirtyOf}`);
  }

  #stored(): void {
    const last = this.server.lastSeq;
    if (last === this.#seen) return;
    for (const message of this.server.after(this.#seen, last)) {
      this.records += 1;
      this.#hash.update(message.data);
      this.journal.stored(message);
    }
    this.#seen = last;
  }
}

function orgName(n: number): string {
  return `org-${n}`;
}

function configOf({ slots, shards, orgs, cappedOrgs }: ScalePlan) {
  return parseClusterConfig(
    [
      'cluster: { name: scale }',
      'pools:',
      `  ${POOL}: { driver: simulated, floor: ${slots}, max: ${slots}, shards: ${shards}, recycle: shared }`,
      'orgs:',
      ...Array.from({ length: Math.min(orgs, cappedOrgs) }, (_, n) => `  ${orgName(n)}: { max: 2 }`),
    ].join('\n'),
  ).config;
}
