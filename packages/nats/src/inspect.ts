// A look at a NATS server and at what a cluster keeps there, for people: changes nothing, decides nothing.
import { isMusterError, stores, subjects } from '@muster/protocol';
import { permissionsOf, type Role } from './access/roles.ts';
import { askJetStream, isRefusal, JETSTREAM_ERRORS } from './jetstream-api.ts';
import type { NatsLink } from './nats-link.ts';
import { type Difference, differences, journalSettings } from './stream-settings.ts';

/** What is looked for. */
export interface InspectOptions {
  readonly cluster: string;
  /** Copies that the journals should have. */
  readonly replicas: number;
  /** Whose work the user of this connection is to do. */
  readonly role: Role;
}

/** Something that could not be looked at, and why. */
export interface NotSeen {
  readonly kind: 'missing' | 'unauthorized' | 'unavailable';
  readonly why: string;
}

/** What was seen. */
export interface NatsInspection {
  readonly server: {
    readonly version: string;
    readonly isClustered: boolean;
    readonly hasJetStream: boolean;
    readonly isEncrypted: boolean;
    readonly payloadBytesMax: number;
  };
  /** `level` 0 before 2.11. */
  readonly api: { readonly kind: 'seen'; readonly level: number } | NotSeen;
  readonly journals:
    | {
        readonly kind: 'seen';
        readonly differences: readonly Difference[];
        /** Copies that are offline or behind. */
        readonly lagging: readonly string[];
        /** How far the server's clock is ahead of this machine's; undefined where the server does not tell (before 2.10). */
        readonly clockAheadMs: number | undefined;
      }
    | NotSeen;
  /** Another cluster in this account. */
  readonly otherCluster: string | undefined;
  /** There and back, the median of several. */
  readonly rttMs: number;
  /** What the role needs and this user may not: `subscribe x`, `publish x`. */
  readonly refused: readonly string[];
}

interface StreamInfo {
  readonly config: Readonly<Record<string, unknown>>;
  readonly ts?: string;
  readonly cluster?: { readonly replicas?: readonly { readonly name: string; readonly current?: boolean; readonly offline?: boolean }[] };
}

const ROUND_TRIPS = 9;
/** Verbs of JetStream's API that change nothing. */
const HARMLESS = /^\$JS\.API\.(INFO|STREAM\.NAMES|STREAM\.INFO\.[^*>]+|STREAM\.MSG\.GET\.[^*>]+)$/;

export async function inspectNats(link: NatsLink, options: InspectOptions): Promise<NatsInspection> {
  const { cluster, replicas } = options;
  const { info } = link.connection;
  const rttMs = await medianRoundTrip(link);
  const api = await look(async () => ({
    kind: 'seen' as const,
    level: (await askJetStream<{ readonly api?: { readonly level?: number } }>(link, 'INFO')).api?.level ?? 0,
  }));
  const wanted = journalSettings(stores.stream(cluster), [subjects.journals(cluster), subjects.parts(cluster)], replicas);
  const journals = await look(async () => {
    const stream = await askJetStream<StreamInfo>(link, `STREAM.INFO.${wanted.name}`);
    const nowMs = link.clock.wallMs();
    return {
      kind: 'seen' as const,
      differences: differences(wanted, stream.config),
      lagging: (stream.cluster?.replicas ?? [])
        .filter(({ current, offline }) => current !== true || offline === true)
        .map(({ name }) => name),
      clockAheadMs: stream.ts === undefined ? undefined : Date.parse(stream.ts) + rttMs / 2 - nowMs,
    };
  });
  return {
    server: {
      version: info?.version ?? '',
      isClustered: info?.cluster !== undefined,
      hasJetStream: info?.jetstream === true,
      isEncrypted: info?.tls_required === true,
      payloadBytesMax: link.payloadBytesMax,
    },
    api,
    journals,
    otherCluster: await otherCluster(link, wanted.name),
    rttMs,
    refused: await refusedOf(link, options),
  };
}

async function medianRoundTrip(link: NatsLink): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < ROUND_TRIPS; n++) {
    const startMs = link.clock.monotonicMs();
    await link.flush();
    times.push(link.clock.monotonicMs() - startMs);
  }
  return times.toSorted((one, other) => one - other)[Math.floor(ROUND_TRIPS / 2)] ?? 0;
}

async function look<T>(see: () => Promise<T>): Promise<T | NotSeen> {
  try {
    return await see();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (isRefusal(error, JETSTREAM_ERRORS.streamNotFound)) return { kind: 'missing', why };
    if (isMusterError(error, 'unauthorized')) return { kind: 'unauthorized', why };
    return { kind: 'unavailable', why };
  }
}

async function otherCluster(link: NatsLink, ours: string): Promise<string | undefined> {
  const prefix = stores.stream('');
  const found = await look(() =>
    askJetStream<{ readonly streams?: readonly string[] | null }>(link, 'STREAM.NAMES', { subject: 'muster.j.>' }),
  );
  if (!('streams' in found)) return undefined;
  return found.streams?.find((name) => name !== ours && name.startsWith(prefix))?.slice(prefix.length);
}

/** Every subscription is tried; of what is published only questions, since the rest would do something. */
async function refusedOf(link: NatsLink, { role, cluster }: InspectOptions): Promise<readonly string[]> {
  const { publish, subscribe } = permissionsOf(role, role, cluster);
  const refused: string[] = [];
  // Its own inbox is where this connection's answers come.
  const own = subscribe.filter((subject) => !subject.startsWith('_INBOX'));
  const subscriptions = own.map((subject) =>
    link.connection.subscribe(subject, {
      callback: (error) => {
        if (error !== null) refused.push(`subscribe ${subject}`);
      },
    }),
  );
  await link.flush();
  for (const subscription of subscriptions) subscription.unsubscribe();
  for (const subject of publish.filter((one) => HARMLESS.test(one))) {
    const exchange = await link.exchange(subject, new Uint8Array(0), 2_000);
    if (exchange.kind === 'unauthorized') refused.push(`publish ${subject}`);
  }
  return refused;
}
