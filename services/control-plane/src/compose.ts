// Where the parts meet: one replica, put together from its configuration. The only file that knows every adapter.
import { readFileSync } from 'node:fs';
import type { PoolSpec } from '@muster/domain';
import { KubernetesDriver } from '@muster/kubernetes';
import { connectNats, openWorkerCredentials } from '@muster/nats';
import { startPools } from '@muster/pool';
import { FetchHttpCaller, type Logger, SystemClock, SystemRandom, type WorkerDriver } from '@muster/ports';
import { HostDriver } from '@muster/process';
import { reservationToken, slotToken } from '@muster/protocol';
import { startRuntime } from '@muster/runtime';
import type { ReplicaConfig } from './config.ts';
import { serveHttp } from './http-server.ts';
import { Inspection } from './inspection.ts';
import { PrometheusMetrics } from './prometheus-metrics.ts';

export interface Replica {
  readonly id: string;
  readonly http: string;
  readonly isReady: boolean;
  /** Hands its shards over, answers what is under way, and stops. */
  stop(graceMs: number): Promise<void>;
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

/** Starts a replica. @throws MusterError `disconnected`, `unsafe-server`, `unauthorized` */
export async function startReplica(config: ReplicaConfig, logger: Logger): Promise<Replica> {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const metrics = new PrometheusMetrics();
  const cluster = config.file.cluster.name;
  const id = config.replica ?? `replica-${random.id(6)}`;
  const log = logger.child({ replica: id });
  const nats = await connectNats({
    servers: config.servers,
    name: `muster ${id}`,
    clock,
    random,
    logger: log,
    waitOnFirstConnect: true,
    ...config.nats,
  });
  const { bus } = nats;
  const store = await nats.openClusterStore({ cluster, replicas: config.natsReplicas });
  log.info({ cluster, server: store.server.version, apiLevel: store.server.apiLevel }, 'the NATS server passed the start-up gate');

  const inspection = new Inspection({ bus, values: store.latestValues, clock, metrics });
  const about: Record<string, unknown> = { version };
  const runtime = await startRuntime({
    replica: id,
    cluster,
    bus,
    journal: store.journal,
    clock,
    random,
    logger: log,
    metrics,
    takeoverMs: config.takeoverMs,
    about,
    inspect: inspection.inspect,
  });
  const workerCredentials = config.workerCredentials === undefined ? undefined : openWorkerCredentials(config.workerCredentials);
  const drivers = new Map<PoolSpec['driver'], WorkerDriver>();
  for (const kind of ['process', 'simulated'] as const) drivers.set(kind, new HostDriver({ bus, clock, logger: log, cluster, kind }));
  const natsUrl = config.servers.join(',');
  drivers.set(
    'kubernetes',
    new KubernetesDriver({ cluster, connection: config.file.kubernetes, natsUrl, clock, random, logger: log, metrics }),
  );
  const pools = await startPools({
    runtime,
    cluster,
    version,
    bus,
    clock,
    random,
    logger: log,
    metrics,
    drivers,
    http: new FetchHttpCaller(),
    initialConfig: config.file.config,
    secrets: {
      slotToken: (slot) => slotToken(config.key, slot),
      natsCredentials: (slot) => workerCredentials?.(slot),
      reservationToken: (reservation, slot, epoch) => reservationToken(config.key, reservation, slot, epoch),
    },
  });
  const isReady = (): boolean => runtime.isReady && pools.isServing;
  const http = await serveHttp({ ...config.http, version, view: pools.view, requests: pools.requests, metrics, logger: log, isReady });
  about.http = http.address;
  for (const warning of config.file.warnings) log.warn({ warning }, 'the configuration has something that is probably not meant');
  log.info({ http: http.address }, 'the replica is up');

  return {
    id,
    http: http.address,
    get isReady() {
      return isReady();
    },
    async stop(graceMs) {
      await pools.stopTaking();
      await runtime.stop(graceMs);
      pools.close();
      inspection.close();
      await Promise.all([...drivers.values()].map((driver) => driver.close()));
      await http.close();
      store.close();
      await nats.close();
    },
  };
}
