// The start-up gate (DESIGN 4.1): nothing is decided on a server or a stream that cannot give what the guarantees need.
import type { Journal, LatestValues } from '@muster/ports';
import { isMusterError, MusterError, stores, subjects } from '@muster/protocol';
import { assertOneWinner } from './append-race.ts';
import { findOrCreateStream } from './find-or-create-stream.ts';
import { askJetStream, isRefusal, JETSTREAM_ERRORS, JetStreamRefusal, toUnavailable } from './jetstream-api.ts';
import { NatsJournal } from './nats-journal.ts';
import { NatsLatestValues } from './nats-latest-values.ts';
import type { NatsLink } from './nats-link.ts';
import { isAtLeast } from './server-version.ts';
import { bucketSettings, differences, journalSettings, type StreamSettings } from './stream-settings.ts';

export interface ClusterStoreOptions {
  /** One subject token. */
  readonly cluster: string;
  /** Copies of the stream; more than one needs as many servers, of 2.11 or later. Default 1. */
  readonly replicas?: number;
  /** How long to wait for JetStream to have a leader. Default 30 s. */
  readonly patienceMs?: number;
}

/** What a cluster keeps in NATS, checked. */
export interface ClusterStore {
  readonly journal: Journal;
  readonly latestValues: LatestValues;
  /** As the server tells it; `apiLevel` 0 before 2.11. */
  readonly server: { readonly version: string; readonly apiLevel: number };
  /** Ends its timers; the connection stays. */
  close(): void;
}

/** Compare-and-set works from here on, on one replica; older ones were not tried. */
const VERSION_MIN = '2.9.10';
/** Below it, more than one conditional write to a replicated stream wins (2.9.10: in 261 of 300 races). */
const CLUSTER_VERSION_MIN = '2.11.0';
const STREAM_PREFIX = stores.stream('');
const RETRY_MS = 250;
const PATIENCE_MS = 30_000;

export async function openClusterStore(link: NatsLink, options: ClusterStoreOptions): Promise<ClusterStore> {
  const { cluster, replicas = 1 } = options;
  const giveUpAtMs = link.clock.monotonicMs() + (options.patienceMs ?? PATIENCE_MS);
  const patiently = <T>(act: () => Promise<T>): Promise<T> => untilAvailable(link, giveUpAtMs, act);

  const { version = '', cluster: serverCluster } = link.connection.info ?? {};
  assertVersion({ version, serverCluster, replicas });
  const account = await patiently(() => askJetStream<{ readonly api?: { readonly level?: number } }>(link, 'INFO'));

  const wanted = journalSettings(stores.stream(cluster), [subjects.journals(cluster), subjects.parts(cluster)], replicas);
  await patiently(() => assertOnlyCluster(link, wanted.name));
  const stream = await patiently(() => findOrCreateStream(link, wanted));
  assertSettings(wanted, stream.config);
  // Two first starts at the same moment do not see each other before both streams are there.
  await patiently(() => assertOnlyCluster(link, wanted.name));

  const journal = new NatsJournal(link, cluster);
  await patiently(() => assertOneWinner(journal, cluster, link.random.id()));

  const bucket = bucketSettings(stores.slotsBucket(cluster), replicas);
  const values = await patiently(() => findOrCreateStream(link, bucket));
  for (const { setting, wanted: ours, found } of differences(bucket, values.config)) {
    link.logger.warn({ bucket: bucket.name, setting, wanted: ours, found }, 'the bucket of latest values has another setting');
  }

  const apiLevel = account.api?.level ?? 0;
  link.logger.info({ version, apiLevel, stream: wanted.name, replicas }, 'the cluster store is open');
  if (replicas === 1 && serverCluster !== undefined) {
    link.logger.warn(
      { stream: wanted.name, serverCluster },
      'the servers are a cluster, and the journals have one copy: nothing is decided while the one that holds it is down (nats.replicas)',
    );
  }
  if (replicas === 1) {
    link.logger.info(
      { stream: wanted.name },
      'one copy of the journals: acknowledged writes survive a power failure only with jetstream.sync_interval: always, which a server does not tell',
    );
  }
  const latestValues = new NatsLatestValues(link, stores.slotsBucket(cluster));
  const watch = link.onStatus((status) => {
    if (status === 'connected') sayIfUnsafe(link, replicas);
  });
  const close = (): void => {
    watch.unsubscribe();
    latestValues.close();
  };
  return { journal, latestValues, server: { version, apiLevel }, close };
}

/** The server that is connected to again may be another one, or an older program on the same store. */
function sayIfUnsafe(link: NatsLink, replicas: number): void {
  const { info } = link.connection;
  if (info === undefined) return;
  try {
    assertVersion({ version: info.version, serverCluster: info.cluster, replicas });
  } catch (error) {
    link.logger.error(
      { error, server: link.connection.getServer(), version: info.version },
      'connected again to a NATS server that the start-up gate refuses: what it acknowledges may be lost or done twice',
    );
  }
}

interface Server {
  readonly version: string;
  /** The servers' own cluster; undefined for one that is alone. */
  readonly serverCluster: string | undefined;
  readonly replicas: number;
}

/** In a cluster also one copy is refused: one command of an operator makes three of it, and no replica would notice. */
function assertVersion({ version, serverCluster, replicas }: Server): void {
  if (!isAtLeast(version, VERSION_MIN)) {
    throw new MusterError('unsafe-server', `nats-server ${version} is too old: ${VERSION_MIN} is the least`);
  }
  if (isAtLeast(version, CLUSTER_VERSION_MIN)) return;
  const why = `lets more than one conditional write win on a stream of several copies: ${CLUSTER_VERSION_MIN} is the least`;
  if (serverCluster !== undefined) {
    throw new MusterError(
      'unsafe-server',
      `nats-server ${version} is part of a cluster (${serverCluster}), and ${why} for a cluster, or one server of ${VERSION_MIN} that is alone`,
    );
  }
  if (replicas > 1) {
    throw new MusterError('unsafe-server', `nats-server ${version} ${why} for ${replicas} copies (nats.replicas)`, {
      field: 'nats.replicas',
    });
  }
}

async function assertOnlyCluster(link: NatsLink, ours: string): Promise<void> {
  const { streams } = await askJetStream<{ readonly streams: readonly string[] | null }>(link, 'STREAM.NAMES', { subject: 'muster.j.>' });
  const other = streams?.find((name) => name !== ours && name.startsWith(STREAM_PREFIX));
  if (other === undefined) return;
  throw new MusterError(
    'unsafe-server',
    `this NATS account holds cluster ${other.slice(STREAM_PREFIX.length)} already (stream ${other}): one account holds one cluster, here ${ours.slice(STREAM_PREFIX.length)}`,
    { field: 'cluster.name' },
  );
}

function assertSettings(wanted: StreamSettings, found: Readonly<Record<string, unknown>>): void {
  const [first, ...rest] = differences(wanted, found);
  if (first === undefined) return;
  const others = rest.length === 0 ? '' : ` (and ${rest.map(({ setting }) => setting).join(', ')})`;
  const option = first.setting === 'num_replicas' ? ': nats.replicas says how many copies there are' : '';
  throw new MusterError(
    'unsafe-server',
    `stream ${wanted.name} has ${first.setting} ${JSON.stringify(first.found)}, wanted is ${JSON.stringify(first.wanted)}${others}${option}`,
    { field: first.setting },
  );
}

/** True where it may be otherwise in a moment: no leader yet, or not all servers are up. */
function isPassing(error: unknown): boolean {
  return (
    isRefusal(error, JETSTREAM_ERRORS.notAvailable) ||
    isRefusal(error, JETSTREAM_ERRORS.noSuitablePeers) ||
    isMusterError(error, 'journal-unavailable')
  );
}

/** Tries again while JetStream has no leader, or too few servers; a refusal that time does not change is thrown at once. */
async function untilAvailable<T>(link: NatsLink, giveUpAtMs: number, act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof MusterError && !isPassing(error)) throw error;
      if (!isPassing(error) && error instanceof JetStreamRefusal) {
        throw new MusterError('unsafe-server', `JetStream refuses: ${error.message}`, { cause: error });
      }
      if (link.clock.monotonicMs() >= giveUpAtMs) throw toUnavailable(error);
      await new Promise<void>((resolve) => {
        link.clock.setTimer(RETRY_MS, resolve);
      });
    }
  }
}
