import { readFileSync } from 'node:fs';
import type { Clock, Logger, MessageBus, Random } from '@muster/ports';
import { MusterError, type NatsAccess, type NatsCredentials } from '@muster/protocol';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { parseCredentials, type ReadCredentials } from './access/credentials-file.ts';
import { type ClusterStore, type ClusterStoreOptions, openClusterStore } from './cluster-store.ts';
import { type InspectOptions, inspectNats, type NatsInspection } from './inspect.ts';
import { NatsLink } from './nats-link.ts';
import { NatsMessageBus } from './nats-message-bus.ts';
import { tlsProblemOf, toTlsSettings } from './tls.ts';

export interface NatsOptions extends NatsAccess {
  /** Addresses: `nats://host:4222`, or `tls://` where nothing else is to be spoken; a user and password in the first one count where `credentials` is left out. */
  readonly servers: readonly string[];
  /** Shown by the server (`nats server list connections`). */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Dial until a server answers, instead of failing when none does. Default false. */
  readonly waitOnFirstConnect?: boolean;
}

/** One connection, and what runs over it. */
export interface NatsConnected {
  readonly bus: MessageBus;
  /**
   * Checks that the server and the cluster's stream can give what the guarantees need, making what is missing.
   * @throws MusterError `unsafe-server`, `journal-unavailable`
   */
  openClusterStore(options: ClusterStoreOptions): Promise<ClusterStore>;
  /** Looks at the server, and at what a cluster has there, as this user sees it. Changes nothing. */
  inspect(options: InspectOptions): Promise<NatsInspection>;
  /** Sends what was published, as far as the link is up, and closes. */
  close(): Promise<void>;
}

const DIAL_TIMEOUT_MS = 5000;
/** By a process that is too late with its credentials. */
const DIALS = 3;
/** Together with two unanswered pings: a dead link is noticed in 10 to 15 s. */
const PING_MS = 5000;
const REDIAL_MIN_MS = 100;
const REDIAL_SPREAD_MS = 200;
/** Who waits for its first connection says after this why there is none, and again when that changes. */
const FIRST_WORD_MS = 2_000;
const FURTHER_WORDS_MS = 15_000;

/**
 * Connects to NATS. The connection is kept for good: it dials again until it is closed, and buffers nothing meanwhile.
 * @throws MusterError `disconnected` where no server answers, `unauthorized`, `bad-request` for an address that is none
 */
export async function connectNats(options: NatsOptions): Promise<NatsConnected> {
  const { clock, random, logger } = options;
  const addresses = options.servers.map(readAddress);
  const { settings: proof, inboxPrefix: ownPrefix } = toSettings(options.credentials ?? addresses[0]?.credentials);
  const inboxPrefix = options.inboxPrefix ?? ownPrefix;
  // The client takes an address with tls: for any other, and a server that does not speak TLS for good enough.
  const tls = options.tls ?? (addresses.some(({ server }) => server.startsWith('tls:')) ? {} : undefined);
  const settings: NodeConnectionOptions = {
    servers: addresses.map(({ server }) => server),
    name: options.name,
    timeout: DIAL_TIMEOUT_MS,
    noAsyncTraces: true,
    pingInterval: PING_MS,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: () => REDIAL_MIN_MS + random.next() * REDIAL_SPREAD_MS,
    waitOnFirstConnect: options.waitOnFirstConnect ?? false,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...(tls === undefined ? {} : { tls: toTlsSettings(tls, addresses) }),
    ...proof,
  };
  const failure = (cause: unknown): MusterError => toFailure(cause, options, addresses);
  try {
    const connection = await (options.waitOnFirstConnect === true ? waitForConnection(settings, options, failure) : dial(settings));
    const link = new NatsLink(connection, { clock, random, logger, ...(inboxPrefix === undefined ? {} : { inboxPrefix }) });
    return {
      bus: new NatsMessageBus(link),
      openClusterStore: (storeOptions) => openClusterStore(link, storeOptions),
      inspect: (what) => inspectNats(link, what),
      close: () => link.close(),
    };
  } catch (cause) {
    throw failure(cause);
  }
}

/** A process that stood still while it said who it is has not been refused: it says it again. */
async function dial(settings: NodeConnectionOptions): Promise<NatsConnection> {
  for (let left = DIALS - 1; ; left -= 1) {
    try {
      return await connect(settings);
    } catch (cause) {
      if (left === 0 || !isTooLate(cause)) throw cause;
    }
  }
}

/** A server waits for credentials for 2 s, unless its configuration says otherwise. */
function isTooLate(cause: unknown): boolean {
  return cause instanceof Error && /authentication timeout/i.test(cause.message);
}

/** Dials until a server answers. The client keeps to itself why none does: from time to time that is found out, and logged. */
async function waitForConnection(
  settings: NodeConnectionOptions,
  { clock, logger }: NatsOptions,
  failure: (cause: unknown) => MusterError,
): Promise<NatsConnection> {
  let isWaiting = true;
  let lastWords = '';
  const ask = async (): Promise<void> => {
    try {
      await (await connect({ ...settings, waitOnFirstConnect: false, reconnect: false })).close();
    } catch (cause) {
      const { code, message, field } = failure(cause);
      if (isWaiting && message !== lastWords) logger.warn({ code, reason: message, field }, 'NATS is not reached yet');
      lastWords = message;
    }
    if (isWaiting) timer = clock.setTimer(FURTHER_WORDS_MS, () => void ask());
  };
  let timer = clock.setTimer(FIRST_WORD_MS, () => void ask());
  try {
    return await dial(settings);
  } finally {
    isWaiting = false;
    timer.cancel();
  }
}

function toFailure(cause: unknown, { tls }: NatsOptions, addresses: readonly Address[]): MusterError {
  const said = cause instanceof Error ? cause.message : String(cause);
  const isRefused = !isTooLate(cause) && cause instanceof Error && /authorization|authentication/i.test(`${cause.name} ${said}`);
  const where = addresses.map(({ server }) => server).join(', ');
  const problem = tlsProblemOf(cause, tls);
  return new MusterError(isRefused ? 'unauthorized' : 'disconnected', `NATS at ${where}: ${problem?.says ?? said}`, {
    ...(problem === undefined ? {} : { field: problem.field }),
    cause,
  });
}

interface Address {
  readonly server: string;
  /** Without the brackets of IPv6. */
  readonly host: string;
  readonly credentials: NatsCredentials | undefined;
}

function readAddress(address: string): Address {
  let url: URL;
  try {
    url = new URL(address.includes('://') ? address : `nats://${address}`);
  } catch (cause) {
    throw new MusterError('bad-request', `nats.servers: ${JSON.stringify(address)} is not an address`, { field: 'nats.servers', cause });
  }
  const server = `${url.protocol}//${url.hostname}:${url.port === '' ? '4222' : url.port}`;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.username === '') return { server, host, credentials: undefined };
  const user = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  return { server, host, credentials: password === '' ? { kind: 'token', token: user } : { kind: 'user', user, password } };
}

interface Proof {
  readonly settings: NodeConnectionOptions;
  readonly inboxPrefix?: string | undefined;
}

function toSettings(credentials: NatsCredentials | undefined): Proof {
  switch (credentials?.kind) {
    case undefined:
      return { settings: {} };
    case 'token':
      return { settings: { token: credentials.token } };
    case 'user':
      return { settings: { user: credentials.user, pass: credentials.password } };
    case 'creds':
      return toProof(parseCredentials(credentials.contents));
    case 'file': {
      let read = readCredentialsFile(credentials.path);
      return toProof({ inboxPrefix: read.inboxPrefix, authenticator: (nonce) => read.authenticator(nonce) }, () => {
        // A file that is being replaced, or gone by now: what it said last may still do.
        try {
          read = readCredentialsFile(credentials.path);
        } catch (error) {
          if (!(error instanceof MusterError)) throw error;
        }
      });
    }
  }
}

function toProof({ authenticator, inboxPrefix }: ReadCredentials, beforeConnect?: () => void): Proof {
  const settings: NodeConnectionOptions = {
    authenticator: (nonce) => {
      beforeConnect?.();
      return authenticator(nonce);
    },
  };
  return { settings, inboxPrefix };
}

function readCredentialsFile(path: string): ReadCredentials {
  try {
    return parseCredentials(readFileSync(path, 'utf8'));
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new MusterError('bad-request', `NATS credentials in ${path}: ${said}`, { field: 'MUSTER_NATS_CREDS_FILE', cause });
  }
}
