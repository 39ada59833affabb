// A whole cluster in one process, on the memory twins and virtual time: real runtime, real pool, real worker SDK.
import type { ClusterConfig } from '@muster/domain';
import { type PoolNode, startPools } from '@muster/pool';
import {
  ManualClock,
  MemoryBus,
  MemoryHttpCaller,
  MemoryJournal,
  MemoryJournalServer,
  type MemoryLogger,
  MemoryMetrics,
  MemoryNetwork,
  MemoryWorkerDriver,
  SeededRandom,
  silentLogger,
  type WorkerSpec,
} from '@muster/ports';
import {
  decode,
  encode,
  parseClusterConfig,
  type ReserveAnswer,
  type ReserveRequest,
  reservationToken,
  slotToken,
  subjects,
} from '@muster/protocol';
import { type Runtime, startRuntime } from '@muster/runtime';
import { startWorker, type Worker, type WorkerHandlers } from '@muster/worker';

const KEY = 'a key for tests only';

export interface MemoryReplica {
  readonly runtime: Runtime;
  readonly pools: PoolNode;
  readonly bus: MemoryBus;
  readonly metrics: MemoryMetrics;
}

export interface MemoryClusterOptions {
  readonly replicas?: number;
  /** The `pools` and `orgs` of a configuration, as YAML. */
  readonly config: string;
  readonly startMs?: number;
  /** What the workers do; the default takes every activation. */
  readonly handlers?: (spec: WorkerSpec) => Partial<WorkerHandlers>;
  /** The workers know nothing of Muster: they say no hello. */
  readonly isMute?: boolean;
  readonly logger?: MemoryLogger;
}

export class MemoryCluster {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork({ clock: this.clock });
  readonly server = new MemoryJournalServer({ clock: this.clock });
  readonly replicas: MemoryReplica[] = [];
  readonly workers = new Map<string, Worker>();
  readonly workerBuses = new Map<string, MemoryBus>();
  readonly driver: MemoryWorkerDriver;
  readonly http = new MemoryHttpCaller();
  readonly client = new MemoryBus({ network: this.network, name: 'client' });
  readonly #options: MemoryClusterOptions;
  readonly config: ClusterConfig;
  #made = 0;

  private constructor(options: MemoryClusterOptions) {
    this.#options = options;
    this.config = parseClusterConfig(`cluster: { name: test }\n${options.config}`).config;
    this.driver = new MemoryWorkerDriver({ clock: this.clock, startMs: options.startMs ?? 100, play: (spec) => this.#play(spec) });
  }

  static async start(options: MemoryClusterOptions): Promise<MemoryCluster> {
    const cluster = new MemoryCluster(options);
    for (let n = 0; n < (options.replicas ?? 1); n += 1) await cluster.addReplica();
    return cluster;
  }

  async addReplica(): Promise<MemoryReplica> {
    const name = `replica-${this.#made++}`;
    const { clock, network, server } = this;
    const bus = new MemoryBus({ network, name });
    const metrics = new MemoryMetrics();
    const random = new SeededRandom(1_000 + this.#made);
    const logger = this.#options.logger ?? silentLogger;
    const journal = new MemoryJournal({ bus, server });
    const runtime = await clock.resolve(startRuntime({ replica: name, cluster: 'test', bus, journal, clock, random, logger, metrics }));
    const pools = await clock.resolve(
      startPools({
        runtime,
        cluster: 'test',
        version: '0.0.0',
        bus,
        clock,
        random,
        logger,
        metrics,
        drivers: new Map([
          ['simulated', this.driver],
          ['kubernetes', this.driver],
        ]),
        http: this.http,
        initialConfig: this.config,
        secrets: {
          slotToken: (slot) => slotToken(KEY, slot),
          reservationToken: (reservation, slot, epoch) => reservationToken(KEY, reservation, slot, epoch),
        },
      }),
    );
    const replica = { runtime, pools, bus, metrics };
    this.replicas.push(replica);
    await clock.runUntil(() => pools.isServing);
    return replica;
  }

  /** Takes a replica off the network for good, as `kill -9` does: nothing of it leaves any more. */
  kill(replica: MemoryReplica): void {
    const at = this.replicas.indexOf(replica);
    if (at >= 0) this.replicas.splice(at, 1);
    replica.bus.disconnect();
  }

  /** The first living replica. */
  get any(): MemoryReplica {
    const [replica] = this.replicas;
    if (replica === undefined) throw new Error('no replica is left');
    return replica;
  }

  ownerOf(shard: string): MemoryReplica | undefined {
    return this.replicas.find((replica) => replica.runtime.isOwned(shard));
  }

  /** Numbers of a pool, as people see them. */
  pool(name: string) {
    const pool = this.any.pools.view.pools().pools.find((one) => one.pool === name);
    if (pool === undefined) throw new Error(`there is no pool ${name} yet`);
    return pool;
  }

  intents() {
    return [...this.any.pools.view.intents({ limit: 100 }).intents].reverse();
  }

  slots() {
    return this.any.pools.view.slots({ page: 0 }).slots;
  }

  /** Until `count` slots of the pool are warm. */
  async untilWarm(pool: string, count: number): Promise<void> {
    await this.clock.runUntil(() => this.any.pools.view.pools().pools.some((one) => one.pool === pool && one.warm === count));
  }

  /** A reserve as any NATS client sends it; the answer comes as virtual time passes. */
  reserve(pool: string, request: ReserveRequest): Promise<ReserveAnswer> {
    return this.ask(subjects.reserve(pool), request, (request.waitMs ?? 0) + 20_000) as Promise<ReserveAnswer>;
  }

  async ask(subject: string, body: unknown, timeoutMs = 20_000): Promise<unknown> {
    const reply = await this.client.request(subject, encode(body), { timeoutMs });
    return decode(reply.data);
  }

  /** The same, and time passes until the answer is there. */
  async askNow(subject: string, body: unknown): Promise<{ ok: boolean; [field: string]: unknown }> {
    return (await this.clock.resolve(this.ask(subject, body))) as { ok: boolean };
  }

  async reserveNow(pool: string, request: ReserveRequest): Promise<ReserveAnswer> {
    return this.clock.resolve(this.reserve(pool, request));
  }

  #play(spec: WorkerSpec): { stop(): void } {
    if (this.#options.isMute === true) return { stop: () => undefined };
    const bus = new MemoryBus({ network: this.network, name: `worker-${spec.slot}` });
    const handlers = this.#options.handlers?.(spec) ?? {};
    const worker = startWorker({
      bus,
      clock: this.clock,
      random: new SeededRandom(spec.slot.length + this.workers.size),
      logger: silentLogger,
      identity: { cluster: 'test', slot: spec.slot, shard: spec.shard, token: spec.token },
      endpoint: `memory://${spec.slot}`,
      version: '0.0.0',
      pid: 1,
      onActivate: () => undefined,
      onReset: () => undefined,
      ...handlers,
    });
    this.workers.set(spec.slot, worker);
    this.workerBuses.set(spec.slot, bus);
    return {
      stop: () => {
        bus.disconnect();
        this.workers.delete(spec.slot);
        this.workerBuses.delete(spec.slot);
      },
    };
  }
}
