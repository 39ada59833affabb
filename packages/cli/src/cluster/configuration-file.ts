import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { CliError, EXIT } from '../exit.ts';

// The replicas validate the whole file, with the path of every problem; the command reads only what it needs itself.
const fileSchema = z.looseObject({
  cluster: z.looseObject({ name: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'may have letters, digits, - and _ only, at most 32') }),
  nats: z.looseObject({ servers: z.array(z.string()).min(1).optional() }).nullish(),
  pools: z.record(z.string(), z.looseObject({ driver: z.string().optional() })).nullish(),
  orgs: z.unknown().optional(),
});

/** A `muster.yaml` as far as the command itself reads it. */
export interface ConfigurationFile {
  readonly path: string;
  readonly text: string;
  readonly cluster: string;
  /** `nats.servers`; undefined where `muster up` is to run one. */
  readonly servers: readonly string[] | undefined;
  /** Drivers that its pools name. */
  readonly drivers: readonly string[];
  /** Its pools and orgs as one text that changes when they do. */
  readonly poolsAndOrgs: string;
}

/** @throws CliError where it cannot be read, or has something else where cluster, nats and pools belong */
export function readConfigurationFile(file: string, folder: string): ConfigurationFile {
  const path = resolve(folder, file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const said =
      cause instanceof Error && 'code' in cause && cause.code === 'ENOENT' ? 'does not exist' : `cannot be read: ${String(cause)}`;
    throw new CliError('not-found', `${file} ${said}`, { hint: 'name a configuration with --config', exitCode: EXIT.usage, cause });
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
  let value: unknown;
  try {
    value = parseYaml(text);
  } catch (cause) {
    const at = cause instanceof YAMLParseError && cause.linePos !== undefined ? `:${cause.linePos[0].line}` : '';
    const said = cause instanceof Error ? (cause.message.split('\n')[0] ?? '').replace(/:$/, '') : String(cause);
    throw new CliError('bad-request', `${path}${at} is not YAML: ${said}`, { exitCode: EXIT.usage, cause });
  }
  const result = fileSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const field = issue?.path.map(String).join('.') ?? '';
    throw new CliError('bad-request', `${path}: ${field}: ${issue?.message ?? 'is not valid'}`, { exitCode: EXIT.usage, field });
  }
  const { cluster, nats, pools, orgs } = result.data;
  return {
    path,
    text,
    cluster: cluster.name,
    servers: nats?.servers,
    drivers: [...new Set(Object.values(pools ?? {}).map(({ driver }) => driver ?? 'process'))],
    poolsAndOrgs: JSON.stringify({ pools: pools ?? {}, orgs: orgs ?? {} }),
  };
}
