// One replica's part in the cluster: puts follower, liveness, ownership and router together.
import type { MessageBus, Subscription } from '@muster/ports';
import { Liveness } from './cluster/liveness.ts';
import { Ownership } from './cluster/ownership.ts';
import { Router } from './cluster/router.ts';
import type { AskAnswer, ReplicaStatus, Runtime, RuntimeOptions, Shadow, ShardDefinition } from './contract.ts';
import { Follower } from './journal/follower.ts';
import type { JournalRecord } from './journal/record.ts';
import type { ShadowShard } from './journal/shadow.ts';
import { makeRuntimeMetrics } from './metrics.ts';
import { LoopWatch } from './shard/loop-watch.ts';

const TAKEOVER_MS = 1_500;
const MOVE_AFTER_MS = 10_000;
const STAY_MS = 30_000;
const TASKS_MAX = 64;
const SNAPSHOT_BYTES_MIN = 4 * 1024 * 1024;

/**
 * Starts one replica. It follows the journals of the cluster and takes shards as soon as they are defined.
 * @throws MusterError `closed`
 */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const runtime = new ReplicaRuntime(options);
  await runtime.start();
  return runtime;
}

class ReplicaRuntime implements Runtime {
  readonly replica: string;
  readonly #options: RuntimeOptions;
  readonly #bus: MessageBus;
  readonly #follower: Follower;
  readonly #liveness: Liveness;
  readonly #ownership: Ownership;
  readonly #router: Router;
  readonly #listeners = new Set<(shadow: Shadow) => void>();
  readonly #watchers = new Map<string, Set<(shadow: Shadow) => void>>();
  readonly #actorKinds = new Map<string, ReadonlySet<string>>();
  readonly #by: string;
  #status: Subscription | undefined;
  #isStopped = false;

  constructor(options: RuntimeOptions) {
    const { replica, bus, journal, clock, random, logger, metrics, takeoverMs = TAKEOVER_MS } = options;
    this.replica = replica;
    this.#options = options;
    this.#bus = bus;
    this.#by = random.id();
    const counters = makeRuntimeMetrics(metrics);
    const watch = new LoopWatch(clock, takeoverMs / 2);
    this.#follower = new Follower({
      journal,
      clock,
      logger,
      metrics: counters,
      shared: options.shared,
      onRecord: (shadow, record) => this.#followed(shadow, record),
      onCaughtUp: () => this.#caughtUp(),
      onReset: () => this.#reset(),
      onStopped: (shadow) => this.#ownership.stopped(shadow),
    });
    this.#liveness = new Liveness({
      replica,
      bus,
      clock,
      logger,
      watch,
      takeoverMs,
      about: options.about ?? {},
      owned: () => this.#ownership.beating(),
      able: () => this.#ownership.able(),
      at: () => (this.#follower.isCaughtUp ? this.#follower.seq : undefined),
      onTick: () => this.#ownership.tick(),
    });
    this.#ownership = new Ownership({
      replica,
      by: this.#by,
      bus,
      journal,
      clock,
      random,
      logger,
      metrics,
      counters,
      watch,
      follower: this.#follower,
      liveness: this.#liveness,
      takeoverMs,
      moveAfterMs: options.moveAfterMs ?? MOVE_AFTER_MS,
      stayMs: options.stayMs ?? STAY_MS,
      tasksMax: options.tasksMax ?? TASKS_MAX,
      snapshotBytesMin: options.snapshotBytesMin ?? SNAPSHOT_BYTES_MIN,
      watchShadow: (shard, changed) => this.#watch(shard, changed),
    });
    this.#router = new Router({ bus, clock, random, takeoverMs, live: (shard) => this.#ownership.live(shard) });
  }

  async start(): Promise<void> {
    this.#status = this.#bus.onStatus((status) => this.#ownership.linkChanged(status === 'connected'));
    this.#liveness.start();
    await this.#follower.start();
  }

  define(definitions: readonly ShardDefinition[]): void {
    for (const { shard, kinds } of definitions) {
      this.#actorKinds.set(shard, new Set(kinds.filter((kind) => 'machine' in kind).map((kind) => kind.kind)));
    }
    this.#ownership.define(definitions);
  }

  ask(shard: string, body: unknown, options: { readonly timeoutMs: number; readonly id?: string }): Promise<AskAnswer> {
    return this.#router.ask(shard, body, options);
  }

  tell(shard: string, body: unknown): void {
    this.#router.tell(shard, body);
  }

  shadow(shard: string): Shadow | undefined {
    return this.#follower.shadow(shard);
  }

  onRecord(listener: (shadow: Shadow) => void): { unsubscribe(): void } {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  isOwned(shard: string): boolean {
    const live = this.#ownership.live(shard);
    return live !== undefined && !live.isLeaving;
  }

  isFrozen(shard: string): boolean {
    return this.#ownership.live(shard)?.isFrozen === true;
  }

  replicas(): readonly ReplicaStatus[] {
    const { about = {} } = this.#options;
    return this.#liveness.statuses({ replica: this.replica, isAlive: !this.#isStopped, shards: this.#ownership.owned(), about });
  }

  get isReady(): boolean {
    return !this.#isStopped && this.#follower.isCaughtUp && this.#bus.isConnected;
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + graceMs;
    await Promise.race([this.#ownership.stop(), this.#pause(graceMs)]);
    while (this.#router.pending > 0 && clock.monotonicMs() < deadlineMs) await this.#pause(10);
    this.#liveness.beat(true);
    this.#router.close();
    this.#ownership.close();
    this.#liveness.close();
    this.#follower.close();
    this.#status?.unsubscribe();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.setTimer(ms, resolve));
  }

  #followed(shadow: ShadowShard, record: JournalRecord): void {
    this.#router.heardEpoch(shadow.shard, record.epoch);
    this.#ownership.followed(shadow, record);
    if (record.by === this.#by) this.#inspect(shadow, record);
    if (this.#follower.isCaughtUp) this.#tell(shadow);
  }

  #caughtUp(): void {
    for (const shadow of this.#follower.shadows()) this.#tell(shadow);
    this.#ownership.tick();
  }

  #reset(): void {
    this.#router.forgetEpochs();
    this.#ownership.reset();
  }

  #tell(shadow: ShadowShard): void {
    const watchers = this.#watchers.get(shadow.shard);
    for (const listener of [...this.#listeners, ...(watchers ?? [])]) {
      try {
        listener(shadow);
      } catch (error) {
        this.#options.logger.error({ shard: shadow.shard, error }, 'a listener of records threw');
      }
    }
  }

  #watch(shard: string, changed: (shadow: Shadow) => void): Subscription {
    const watchers = this.#watchers.get(shard) ?? new Set();
    this.#watchers.set(shard, watchers.add(changed));
    return { unsubscribe: () => void watchers.delete(changed) };
  }

  /** What this replica decided, once it is durable and followed. */
  #inspect(shadow: ShadowShard, record: JournalRecord): void {
    const { inspect } = this.#options;
    const kinds = this.#actorKinds.get(shadow.shard);
    if (inspect === undefined || kinds === undefined) return;
    for (const [kind, id, value] of record.set) {
      if (!kinds.has(kind)) continue;
      inspect({ shard: shadow.shard, kind, id, state: stateName(value), record: shadow.store.get(kind, id) });
    }
  }
}

/** `reserved.active` and the like; `deleted` for none. */
function stateName(value: unknown): string {
  if (value === null) return 'deleted';
  const name = (state: unknown): string =>
    typeof state === 'object' && state !== null
      ? Object.entries(state)
          .map(([outer, inner]) => `${outer}.${name(inner)}`)
          .join('+')
      : String(state);
  return name((value as { readonly state?: unknown }).state);
}
