// One replica's part in all pools: defines the shards that the configuration in force wants, and serves the subjects.
import type { ClusterConfig, PoolSpec } from '@muster/domain';
import type {
  Clock,
  HttpCaller,
  Logger,
  MessageBus,
  MessageSubscription,
  Metrics,
  Random,
  Subscription,
  WorkerDriver,
} from '@muster/ports';
import { JANITOR_SHARD, shardsOf, subjects } from '@muster/protocol';
import type { Runtime, Shadow } from '@muster/runtime';
import pLimit from 'p-limit';
import { AdminGateway } from './gateway/admin-gateway.ts';
import { ClusterView } from './gateway/cluster-view.ts';
import { type Requests, ReserveGateway } from './gateway/reserve-gateway.ts';
import { CutBoard } from './janitor/cut-board.ts';
import { janitorShard } from './janitor/janitor-shard.ts';
import { CONFIG_ID, type ConfigRecord, configKind } from './kinds.ts';
import { PoolMeters } from './meters.ts';
import { poolShard } from './shard/pool-shard.ts';
import type { Secrets } from './shard/worker-link.ts';

/** Workers that one replica starts at once (DESIGN 7.2). */
const STARTS_AT_ONCE = 50;
/** How often the gauges of slots and waiters are set anew, ms. */
const SHOW_MS = 1_000;

export interface PoolNodeOptions {
  readonly runtime: Runtime;
  readonly cluster: string;
  readonly version: string;
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly secrets: Secrets;
  /** How workers that say no hello are told; without it their activations fail. */
  readonly http?: HttpCaller;
  /** By the driver name of the configuration. */
  readonly drivers: ReadonlyMap<PoolSpec['driver'], WorkerDriver>;
  /** What a new cluster begins with. */
  readonly initialConfig: ClusterConfig;
}

/** The pools of one replica, as `startPools` gives them. */
export interface PoolNode {
  readonly view: ClusterView;
  /** What the public subjects are asked, for who comes another way. */
  readonly requests: Requests;
  /** Takes requests: from when it knows the pools. One that is starting leaves them to those that do. */
  readonly isServing: boolean;
  /** Leaves requests to the other replicas; resolves when none can come any more. Those that were taken go on. */
  stopTaking(): Promise<void>;
  /** Ends serving. The runtime is stopped by whoever started it. */
  close(): void;
}

/** Runs the pools of a cluster on this replica: takes part in deciding, and answers on the public subjects. */
export async function startPools(options: PoolNodeOptions): Promise<PoolNode> {
  const { runtime, bus, clock, cluster, random, logger } = options;
  const meters = new PoolMeters(options.metrics);
  const startLimit = pLimit(STARTS_AT_ONCE);
  const cuts = new CutBoard((shard) => runtime.shadow(shard));
  const drivers = [...options.drivers.values()];
  const view = new ClusterView({ runtime, cluster, version: options.version, clock, cuts, drivers });
  let isStopping = false;
  let service: MessageSubscription | undefined;
  /** The one in force, also while the read models are read again. */
  let config: ClusterConfig | undefined;
  let definedVersion = -1;

  const janitor = janitorShard({ initialConfig: options.initialConfig, meters });
  const define = (record: ConfigRecord): void => {
    const { version, config: current, retired } = record;
    if (version === definedVersion) return;
    definedVersion = version;
    config = current;
    const specs = Object.values({ ...retired, ...current.pools });
    const shards = specs.flatMap((spec) => {
      const driver = options.drivers.get(spec.driver);
      if (driver === undefined) {
        logger.error({ pool: spec.name, driver: spec.driver }, 'this replica has no such driver: it takes no part in the pool');
        return [];
      }
      return shardsOf(spec.name, spec.shards).map((shard, part) =>
        poolShard({
          shard,
          pool: spec.name,
          part,
          config: current,
          spec,
          driver,
          secrets: options.secrets,
          meters,
          startLimit,
          http: options.http,
        }),
      );
    });
    runtime.define([janitor, ...shards]);
  };
  const follow = (shadow: Shadow): void => {
    const record = shadow.shard === JANITOR_SHARD ? shadow.get(configKind, CONFIG_ID)?.value : undefined;
    if (record === undefined) return;
    define(record);
    void serve();
  };

  const gateway = new ReserveGateway({
    runtime,
    clock,
    random,
    cluster,
    config: () => config,
  });
  const admin = new AdminGateway({ runtime, view, drivers, cluster, bus });
  let serving: Promise<void> | undefined;
  const endings: Subscription[] = [
    bus.subscribe(subjects.misses(), (message) => {
      try {
        cuts.accept(message);
      } catch (error) {
        logger.warn({ subject: message.subject, error: String(error) }, 'a cut cannot be read');
      }
    }),
    runtime.onRecord(follow),
  ];
  runtime.define([janitor]);
  const known = runtime.shadow(JANITOR_SHARD);
  if (known !== undefined) follow(known);

  /** Takes requests from now on; of a pool that it has not read of it would say that there is none. */
  function serve(): Promise<void> {
    serving ??= bus
      .serve({
        name: 'muster',
        version: options.version,
        description: 'Keeps workers warm and hands one to a tenant',
        endpoints: [...gateway.endpoints(), ...admin.endpoints()],
      })
      .then(
        (subscription) => {
          service = subscription;
          if (isStopping) subscription.unsubscribe();
        },
        (error: unknown) => {
          serving = undefined;
          logger.error({ error: String(error) }, 'the public subjects cannot be served; trying again with the next record');
        },
      );
    return serving;
  }
  let showing = clock.setTimer(SHOW_MS, show);
  function show(): void {
    showing = clock.setTimer(SHOW_MS, show);
    meters.show(
      view.pools().pools.flatMap(({ pool, shards }) =>
        shards.flatMap((shard) => {
          const cut = runtime.isOwned(shard) ? cuts.get(shard) : undefined;
          if (cut === undefined) return [];
          const { warm, spawning, reserved, parked, draining } = cut;
          return [{ pool, waiting: cut.waiting, states: { warm, spawning, reserved, parked, draining } }];
        }),
      ),
    );
  }
  return {
    view,
    requests: gateway,
    get isServing() {
      return service !== undefined && !isStopping;
    },
    async stopTaking() {
      isStopping = true;
      await service?.drain();
    },
    close() {
      isStopping = true;
      service?.unsubscribe();
      showing.cancel();
      for (const ending of endings) ending.unsubscribe();
    },
  };
}
