// The environment of a host agent. What the cluster's pools are is in muster.yaml; only it says what may be started here.
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { PoolCommand } from '@muster/process';
import { idSchema, MusterError, type NatsAccess, natsAccessOf, natsTlsFrom, type ParsedConfig, parseClusterConfig } from '@muster/protocol';
import { z } from 'zod';

const environmentSchema = z.object({
  MUSTER_CONFIG: z.string({ error: 'must name the configuration file (muster.yaml)' }).min(1),
  MUSTER_HOST_STATE: z.string({ error: "must name the agent's own folder" }).min(1),
  MUSTER_HOST_KIND: z.enum(['process', 'simulated']).default('process'),
  MUSTER_HOST_ID: idSchema(64).optional(),
  MUSTER_NATS_URL: z.string().min(1).optional(),
  MUSTER_CLUSTER: z.string().min(1).optional(),
  MUSTER_READY_FILE: z.string().min(1).optional(),
  /** Where workers keep their tenants' data. */
  MUSTER_DATA_DIR: z.string().min(1).optional(),
  /** `drain` where the workers cannot outlive the agent: in a container. */
  MUSTER_HOST_ON_STOP: z.enum(['run-on', 'drain']).default('run-on'),
  MUSTER_WORKER_HOST: z.string().min(1).optional(),
  MUSTER_WORKER_ADVERTISE: z.string().min(1).optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** How this agent is to run. */
export interface HostConfig {
  readonly kind: 'process' | 'simulated';
  readonly servers: readonly string[];
  readonly nats: NatsAccess;
  readonly cluster: string;
  readonly hostId: string | undefined;
  readonly stateFolder: string;
  /** Where commands run: the configuration's folder. */
  readonly workFolder: string;
  readonly memoryBudgetBytes: number | undefined;
  /** Written when the agent is ready, as JSON: `{id, pid}`. */
  readonly readyFile: string | undefined;
  /** What becomes of the workers when the agent is told to end. */
  readonly onStop: 'run-on' | 'drain';
  readonly logLevel: string;
  /** What every worker gets of this process's environment. */
  readonly baseEnv: Readonly<Record<string, string>>;
  /** Reads the configuration anew: what each pool starts. */
  readCommands(): Promise<ReadonlyMap<string, PoolCommand>>;
}

/** Nothing else is passed on: the agent's environment may hold secrets that are not the workers'. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'] as const;

/** @throws MusterError `bad-request` that names the variable, or the place in the file */
export async function readHostConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Promise<HostConfig> {
  const result = environmentSchema.safeParse(environment);
  if (!result.success) {
    const [issue] = result.error.issues;
    const field = String(issue?.path[0]);
    throw new MusterError('bad-request', `${field}: ${issue?.message}`, { field });
  }
  const env = result.data;
  const file = await readFileConfig(env.MUSTER_CONFIG);
  const servers = env.MUSTER_NATS_URL?.split(',') ?? file.natsServers;
  if (servers === undefined) {
    throw new MusterError('bad-request', 'MUSTER_NATS_URL: is needed where the configuration names no servers', {
      field: 'MUSTER_NATS_URL',
    });
  }
  const workFolder = dirname(resolve(env.MUSTER_CONFIG));
  const nats = natsAccessOf(
    environment,
    natsTlsFrom(file.natsTls, (path) => resolve(workFolder, path)),
  );
  return {
    kind: env.MUSTER_HOST_KIND,
    servers,
    nats,
    cluster: env.MUSTER_CLUSTER ?? file.cluster.name,
    hostId: env.MUSTER_HOST_ID,
    stateFolder: resolve(env.MUSTER_HOST_STATE),
    workFolder,
    memoryBudgetBytes: file.hostMemoryBudgetBytes,
    readyFile: env.MUSTER_READY_FILE,
    onStop: env.MUSTER_HOST_ON_STOP,
    logLevel: env.LOG_LEVEL,
    baseEnv: {
      ...Object.fromEntries(PASSED_ON.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]]))),
      ...variablesOf(nats),
      MUSTER_DATA_DIR: resolve(env.MUSTER_DATA_DIR ?? join(env.MUSTER_HOST_STATE, 'workers')),
      ...(env.MUSTER_WORKER_HOST === undefined ? {} : { MUSTER_WORKER_HOST: env.MUSTER_WORKER_HOST }),
      ...(env.MUSTER_WORKER_ADVERTISE === undefined ? {} : { MUSTER_WORKER_ADVERTISE: advertised(env.MUSTER_WORKER_ADVERTISE) }),
    },
    readCommands: async () => commandsOf(await readFileConfig(env.MUSTER_CONFIG)),
  };
}

/** `auto`: the first address of this machine that others can reach; a container has one for each network. */
function advertised(name: string): string {
  if (name !== 'auto') return name;
  const addresses = Object.values(networkInterfaces()).flatMap((all = []) => all.filter(({ internal }) => !internal));
  const found = addresses.find(({ family }) => family === 'IPv4') ?? addresses[0];
  if (found !== undefined) return found.address;
  throw new MusterError('bad-request', 'MUSTER_WORKER_ADVERTISE: auto, but this machine has no address but its own loopback', {
    field: 'MUSTER_WORKER_ADVERTISE',
  });
}

/** How workers protect their links: as the agent does. Who they are is their own. */
function variablesOf({ tls = {} }: NatsAccess): Readonly<Record<string, string>> {
  const { caFile, certFile, keyFile } = tls;
  return {
    ...(caFile === undefined ? {} : { MUSTER_NATS_CA_FILE: resolve(caFile) }),
    ...(certFile === undefined ? {} : { MUSTER_NATS_CERT_FILE: resolve(certFile) }),
    ...(keyFile === undefined ? {} : { MUSTER_NATS_KEY_FILE: resolve(keyFile) }),
  };
}

function commandsOf(file: ParsedConfig): ReadonlyMap<string, PoolCommand> {
  return new Map(
    Object.values(file.config.pools).flatMap(({ name, template: { command, env } }): [string, PoolCommand][] =>
      command === undefined ? [] : [[name, { command, env }]],
    ),
  );
}

async function readFileConfig(path: string): Promise<ParsedConfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new MusterError('bad-request', `MUSTER_CONFIG: ${path} cannot be read: ${String(cause)}`, { field: 'MUSTER_CONFIG', cause });
  }
  return parseClusterConfig(text);
}
