import type { CliContext } from '../context.ts';
import { tryConfigurationOf } from './configuration-file.ts';
import { RunFiles } from './run-file.ts';

/** Where a cluster's NATS is, and how that is known. */
export interface FoundServers {
  readonly servers: readonly string[];
  readonly from: '--nats' | 'MUSTER_NATS_URL' | 'muster.yaml' | 'muster up' | 'default';
}

const DEFAULT_SERVER = 'nats://127.0.0.1:4222';

/**
 * The servers of the cluster that a command means: `--nats`, `MUSTER_NATS_URL`, `nats.servers` of the folder's muster.yaml,
 * a `muster up` of this user that runs (of the cluster that the muster.yaml names, if one is; the newest), the default.
 * @throws CliError where the folder's muster.yaml cannot be read
 */
export function findServers(context: Pick<CliContext, 'environment' | 'folder'>, given: string | undefined): FoundServers {
  if (given !== undefined) return { servers: splitServers(given), from: '--nats' };
  const { natsUrl, runFolder } = context.environment;
  if (natsUrl !== undefined) return { servers: splitServers(natsUrl), from: 'MUSTER_NATS_URL' };
  const configuration = tryConfigurationOf(context.folder);
  if (configuration?.servers !== undefined) return { servers: configuration.servers, from: 'muster.yaml' };
  const running = new RunFiles(runFolder).running();
  const run = running.find(({ cluster }) => cluster === configuration?.cluster) ?? running[0];
  if (run !== undefined) return { servers: run.servers, from: 'muster up' };
  return { servers: [DEFAULT_SERVER], from: 'default' };
}

export function splitServers(text: string): readonly string[] {
  return text
    .split(',')
    .map((server) => server.trim())
    .filter((server) => server !== '');
}
