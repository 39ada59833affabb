import { resolve } from 'node:path';
import { type NatsAccess, type NatsTls, natsAccessOf } from '@muster/protocol';
import type { CliContext } from '../context.ts';
import { readConfigurationFile, tryConfigurationOf } from './configuration-file.ts';
import { RunFiles } from './run-file.ts';

/** A cluster's NATS, and who this process is to it. */
export interface NatsTarget {
  readonly servers: readonly string[];
  readonly access: NatsAccess;
}

/** Where a cluster's NATS is, and how that is known. */
export interface FoundServers extends NatsTarget {
  readonly from: '--nats' | 'MUSTER_NATS_URL' | 'muster.yaml' | 'muster up' | 'default';
}

const DEFAULT_SERVER = 'nats://127.0.0.1:4222';

/** What a command line may say of a cluster's NATS. */
export interface GivenTarget {
  readonly nats?: string | undefined;
  /** A file of credentials. */
  readonly creds?: string | undefined;
  /** A configuration of that cluster, in the place of the folder's; its TLS is that of whatever servers are named. */
  readonly configuration?: string | undefined;
}

/**
 * The servers of the cluster that a command means: `--nats`, `MUSTER_NATS_URL`, `nats.servers` of the folder's muster.yaml,
 * a `muster up` of this user that runs (of the cluster that the muster.yaml names, if one is; the newest), the default.
 * Credentials are those of `--creds` or of the environment; where neither says any, and a `muster up` of this user runs
 * those servers, its administrator's.
 * @throws CliError where the configuration cannot be read
 */
export function findServers(context: Pick<CliContext, 'environment' | 'folder'>, given: GivenTarget): FoundServers {
  const { natsUrl, runFolder, all } = context.environment;
  const running = new RunFiles(runFolder).running();
  const named = given.configuration === undefined ? undefined : readConfigurationFile(given.configuration, context.folder);
  const target = (servers: readonly string[], from: FoundServers['from'], tls: NatsTls = named?.tls ?? {}): FoundServers => {
    const access = natsAccessOf(all, tls);
    if (given.creds !== undefined)
      return { servers, from, access: { ...access, credentials: { kind: 'file', path: resolve(context.folder, given.creds) } } };
    const path = running.find((run) => run.servers.some((server) => servers.includes(server)))?.credentials;
    if (access.credentials !== undefined || path === undefined) return { servers, from, access };
    return { servers, from, access: { ...access, credentials: { kind: 'file', path } } };
  };
  if (given.nats !== undefined) return target(splitServers(given.nats), '--nats');
  if (natsUrl !== undefined) return target(splitServers(natsUrl), 'MUSTER_NATS_URL');
  const configuration = named ?? tryConfigurationOf(context.folder);
  if (configuration?.servers !== undefined) return target(configuration.servers, 'muster.yaml', configuration.tls);
  const run = running.find(({ cluster }) => cluster === configuration?.cluster) ?? running[0];
  if (run !== undefined) return target(run.servers, 'muster up');
  return target([DEFAULT_SERVER], 'default');
}

export function splitServers(text: string): readonly string[] {
  return text
    .split(',')
    .map((server) => server.trim())
    .filter((server) => server !== '');
}
