// The environment of a replica: addresses and secrets. What describes the cluster is in muster.yaml.
import { readFileSync, statSync } from 'node:fs';
import { parseDuration } from '@muster/domain';
import { MusterError, type ParsedConfig, parseClusterConfig } from '@muster/protocol';
import { z } from 'zod';

const environmentSchema = z.object({
  MUSTER_NATS_URL: z.string().optional(),
  MUSTER_CONFIG: z.string({ error: 'must name the configuration file (muster.yaml)' }),
  MUSTER_REPLICA_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower case letters, digits and -')
    .optional(),
  MUSTER_HTTP_HOST: z.string().default('127.0.0.1'),
  MUSTER_HTTP_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
  MUSTER_KEY: z.string().min(16, 'must have 16 characters or more').optional(),
  MUSTER_KEY_FILE: z.string().optional(),
  MUSTER_READY_FILE: z.string().optional(),
  MUSTER_TAKEOVER: z.string().default('1500ms'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** How this replica is to run. */
export interface ReplicaConfig {
  readonly servers: readonly string[];
  readonly replica: string | undefined;
  readonly http: { readonly host: string; readonly port: number };
  /** The cluster's key: what tokens are made with. */
  readonly key: string;
  readonly readyFile: string | undefined;
  readonly takeoverMs: number;
  readonly logLevel: string;
  readonly file: ParsedConfig;
}

/** @throws MusterError `bad-request` that names the variable */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): ReplicaConfig {
  const result = environmentSchema.safeParse(environment);
  if (!result.success) {
    const [issue] = result.error.issues;
    const field = String(issue?.path[0]);
    throw new MusterError('bad-request', `${field}: ${issue?.message}`, { field });
  }
  const env = result.data;
  const file = parseClusterConfig(read('MUSTER_CONFIG', env.MUSTER_CONFIG));
  const servers = env.MUSTER_NATS_URL?.split(',') ?? file.natsServers;
  if (servers === undefined)
    throw new MusterError('bad-request', 'MUSTER_NATS_URL: is needed where the configuration names no servers', {
      field: 'MUSTER_NATS_URL',
    });
  return {
    servers,
    replica: env.MUSTER_REPLICA_ID,
    http: { host: env.MUSTER_HTTP_HOST, port: env.MUSTER_HTTP_PORT },
    key: keyOf(env.MUSTER_KEY, env.MUSTER_KEY_FILE),
    readyFile: env.MUSTER_READY_FILE,
    takeoverMs: parseDuration(env.MUSTER_TAKEOVER),
    logLevel: env.LOG_LEVEL,
    file,
  };
}

function keyOf(key: string | undefined, file: string | undefined): string {
  if (key !== undefined) return key;
  if (file === undefined)
    throw new MusterError('bad-request', 'MUSTER_KEY_FILE: the key of the cluster is needed (or MUSTER_KEY)', { field: 'MUSTER_KEY_FILE' });
  const text = read('MUSTER_KEY_FILE', file).trim();
  if ((statSync(file).mode & 0o077) !== 0)
    throw new MusterError('bad-request', `MUSTER_KEY_FILE: ${file} may be read by others; its mode must be 0600`, {
      field: 'MUSTER_KEY_FILE',
    });
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
