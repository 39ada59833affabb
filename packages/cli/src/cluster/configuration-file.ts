import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type NatsTls, natsTlsFrom, parseClusterConfig } from '@muster/protocol';
import { CliError, cliErrorOf, EXIT } from '../exit.ts';

/** A `muster.yaml`, read as the replicas read it. */
export interface ConfigurationFile {
  readonly path: string;
  readonly text: string;
  readonly cluster: string;
  /** `nats.servers`; undefined where `muster up` is to run one. */
  readonly servers: readonly string[] | undefined;
  /** `nats.replicas`: copies of the journals. */
  readonly natsReplicas: number;
  /** `nats.tls`: absolute paths. */
  readonly tls: NatsTls;
  /** Drivers that its pools name. */
  readonly drivers: readonly string[];
  /** Its pools and orgs as one text that changes when they do. */
  readonly poolsAndOrgs: string;
}

/** @throws CliError where it cannot be read, or is not valid: every problem with its path */
export function readConfigurationFile(file: string, folder: string): ConfigurationFile {
  const path = resolve(folder, file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const said =
      cause instanceof Error && 'code' in cause && cause.code === 'ENOENT' ? 'does not exist' : `cannot be read: ${String(cause)}`;
    throw new CliError('not-found', `${file} ${said}`, { hint: 'name a configuration that is there', exitCode: EXIT.usage, cause });
  }
  return parseConfigurationFile(path, text);
}

/** The `muster.yaml` of a folder, where there is one. @throws CliError where it cannot be read */
export function tryConfigurationOf(folder: string): ConfigurationFile | undefined {
  const path = resolve(folder, 'muster.yaml');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  return parseConfigurationFile(path, text);
}

function parseConfigurationFile(path: string, text: string): ConfigurationFile {
  try {
    const { cluster, natsServers, natsReplicas, natsTls, config } = parseClusterConfig(text);
    return {
      path,
      text,
      cluster: cluster.name,
      servers: natsServers,
      natsReplicas,
      tls: natsTlsFrom(natsTls, (file) => resolve(dirname(path), file)),
      drivers: [...new Set(Object.values(config.pools).map(({ driver }) => driver))],
      poolsAndOrgs: JSON.stringify(config),
    };
  } catch (cause) {
    const { message, field } = cliErrorOf(cause);
    throw new CliError('bad-request', `${path}: ${message}`, { exitCode: EXIT.usage, field, cause });
  }
}
