// The environment of a replica: addresses and secrets. What describes the cluster is in muster.yaml.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { BUDGETS, parseDuration } from '@muster/domain';
import { MusterError, type NatsAccess, natsAccessOf, natsTlsFrom, type ParsedConfig, parseClusterConfig } from '@muster/protocol';
import { z } from 'zod';
import { type HttpAccess, isLoopback, parseHttpTokens } from './http-gate.ts';

const TAKEOVER_MS_MIN = 200;
/** Whoever asks must outlive a takeover, or every one of them would be seen as a failure. */
const TAKEOVER_MS_MAX = BUDGETS.askMs / 2;

const takeoverSchema = z.string().transform((value, context): number => {
  try {
    const takeoverMs = parseDuration(value);
    if (takeoverMs >= TAKEOVER_MS_MIN && takeoverMs <= TAKEOVER_MS_MAX) return takeoverMs;
    context.addIssue({ code: 'custom', message: `must be ${TAKEOVER_MS_MIN}ms to ${TAKEOVER_MS_MAX}ms, not ${takeoverMs}ms` });
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
  }
  return z.NEVER;
});

const environmentSchema = z.object({
  MUSTER_NATS_URL: z.string().optional(),
  MUSTER_NATS_REPLICAS: z.enum(['1', '3', '5'], { error: 'must be 1, 3 or 5' }).transform(Number).optional(),
  MUSTER_CONFIG: z.string({ error: 'must name the configuration file (muster.yaml)' }),
  MUSTER_REPLICA_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower case letters, digits and -')
    .optional(),
  MUSTER_HTTP_HOST: z.string().default('127.0.0.1'),
  MUSTER_HTTP_PORT: z.coerce
    .number({ error: 'must be a port' })
    .int('must be a port')
    .min(0, 'must be 0 or more')
    .max(65_535, 'must be 65535 or less')
    .default(0),
  MUSTER_HTTP_TOKENS_FILE: z.string().optional(),
  MUSTER_HTTP_METRICS: z.enum(['open', 'token'], { error: 'must be open or token' }).default('token'),
  MUSTER_HTTP_OPEN: z.enum(['yes', 'no'], { error: 'must be yes or no' }).default('no'),
  MUSTER_KEY: z.string().min(16, 'must have 16 characters or more').optional(),
  MUSTER_KEY_FILE: z.string().optional(),
  MUSTER_WORKER_CREDS_FILE: z.string().optional(),
  MUSTER_READY_FILE: z.string().optional(),
  MUSTER_TAKEOVER: takeoverSchema.prefault(`${BUDGETS.takeoverMs}ms`),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** How this replica is to run. */
export interface ReplicaConfig {
  readonly servers: readonly string[];
  /** Copies of the journals. */
  readonly natsReplicas: number;
  readonly nats: NatsAccess;
  readonly replica: string | undefined;
  readonly http: { readonly host: string; readonly port: number; readonly access: HttpAccess };
  /** The cluster's key: what tokens are made with. */
  readonly key: string;
  /** What workers prove to NATS who they are with, or are given their own credentials by; undefined: nothing. */
  readonly workerCredentials: string | undefined;
  readonly readyFile: string | undefined;
  readonly takeoverMs: number;
  readonly logLevel: string;
  readonly file: ParsedConfig;
}

/** @throws MusterError `bad-request` that names the variable */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): ReplicaConfig {
  // Set to nothing is how compose files and units say that something is not set.
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const result = environmentSchema.safeParse(set);
  if (!result.success) {
    const { issues } = result.error;
    const said = issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    throw new MusterError('bad-request', said, { field: String(issues[0]?.path[0]) });
  }
  const env = result.data;
  const file = parseClusterConfig(read('MUSTER_CONFIG', env.MUSTER_CONFIG));
  const servers = serversOf(env.MUSTER_NATS_URL) ?? file.natsServers;
  if (servers === undefined)
    throw new MusterError('bad-request', 'MUSTER_NATS_URL: is needed where the configuration names no servers', {
      field: 'MUSTER_NATS_URL',
    });
  return {
    servers,
    natsReplicas: env.MUSTER_NATS_REPLICAS ?? file.natsReplicas,
    nats: natsAccessOf(
      environment,
      natsTlsFrom(file.natsTls, (path) => resolve(dirname(env.MUSTER_CONFIG), path)),
    ),
    replica: env.MUSTER_REPLICA_ID,
    http: { host: env.MUSTER_HTTP_HOST, port: env.MUSTER_HTTP_PORT, access: httpAccessOf(env) },
    key: keyOf(env.MUSTER_KEY, env.MUSTER_KEY_FILE),
    workerCredentials:
      env.MUSTER_WORKER_CREDS_FILE === undefined ? undefined : read('MUSTER_WORKER_CREDS_FILE', env.MUSTER_WORKER_CREDS_FILE),
    readyFile: env.MUSTER_READY_FILE,
    takeoverMs: env.MUSTER_TAKEOVER,
    logLevel: env.LOG_LEVEL,
    file,
  };
}

function serversOf(list: string | undefined): readonly string[] | undefined {
  const servers = list
    ?.split(',')
    .map((server) => server.trim())
    .filter((server) => server !== '');
  return servers === undefined || servers.length === 0 ? undefined : servers;
}

function httpAccessOf(env: z.output<typeof environmentSchema>): HttpAccess {
  const file = env.MUSTER_HTTP_TOKENS_FILE;
  const isOpen = env.MUSTER_HTTP_OPEN === 'yes';
  if (file === undefined && !isOpen && !isLoopback(env.MUSTER_HTTP_HOST)) {
    throw new MusterError(
      'bad-request',
      `MUSTER_HTTP_HOST: other machines reach ${env.MUSTER_HTTP_HOST}: name the tokens that they need with MUSTER_HTTP_TOKENS_FILE (or say MUSTER_HTTP_OPEN=yes where nobody does who may not read)`,
      { field: 'MUSTER_HTTP_HOST' },
    );
  }
  return { tokens: file === undefined ? [] : tokensIn(file), areMetricsOpen: env.MUSTER_HTTP_METRICS === 'open', isOpen };
}

function tokensIn(file: string): HttpAccess['tokens'] {
  const text = readSecret('MUSTER_HTTP_TOKENS_FILE', file);
  try {
    return parseHttpTokens(text);
  } catch (cause) {
    throw new MusterError('bad-request', `MUSTER_HTTP_TOKENS_FILE: ${file}: ${(cause as Error).message}`, {
      field: 'MUSTER_HTTP_TOKENS_FILE',
      cause,
    });
  }
}

/** A file of a secret: for its owner only. */
function readSecret(variable: string, file: string): string {
  const text = read(variable, file);
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new MusterError('bad-request', `${variable}: ${file} may be read by others; its mode must be 0600`, { field: variable });
  }
  return text;
}

function keyOf(key: string | undefined, file: string | undefined): string {
  if (key !== undefined) return key;
  if (file === undefined)
    throw new MusterError('bad-request', 'MUSTER_KEY_FILE: the key of the cluster is needed (or MUSTER_KEY)', { field: 'MUSTER_KEY_FILE' });
  const text = readSecret('MUSTER_KEY_FILE', file).trim();
  if (text.length < 16)
    throw new MusterError('bad-request', `MUSTER_KEY_FILE: ${file} has fewer than 16 characters`, { field: 'MUSTER_KEY_FILE' });
  return text;
}

function read(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new MusterError('bad-request', `${variable}: ${path} cannot be read: ${(cause as Error).message}`, { field: variable, cause });
  }
}
