import { createHash } from 'node:crypto';
import type { ClusterConfig, PoolSpec, WorkerTemplate } from '@muster/domain';
import { parseDocument } from 'yaml';
import { MusterError } from '../errors.ts';
import { type ClusterFile, clusterFileSchema } from './schema.ts';

/** A configuration, compiled: durations in ms, sizes in bytes, defaults filled in. */
export interface ParsedConfig {
  readonly cluster: { readonly name: string };
  /** Undefined: `muster up` runs a server. */
  readonly natsServers: readonly string[] | undefined;
  /** Undefined: 75 % of the machine's or the container's. */
  readonly hostMemoryBudgetBytes: number | undefined;
  readonly config: ClusterConfig;
  /** What is allowed and probably not meant. */
  readonly warnings: readonly string[];
}

/** One thing that is wrong, or worth saying, with its path: `pools.duckdb.floor`. */
export interface ConfigRemark {
  readonly path: string;
  readonly message: string;
}

/** The largest configuration, characters. */
const TEXT_MAX = 1024 * 1024;
const PROBLEMS_SHOWN = 20;

/**
 * Reads `muster.yaml` as a whole.
 * @throws MusterError `bad-request` that names every problem with its path; `field` is the first one's
 */
export function parseClusterConfig(text: string): ParsedConfig {
  if (text.length > TEXT_MAX)
    throw new MusterError('payload-too-large', `the configuration has ${text.length} characters, the limit is ${TEXT_MAX}`);
  const result = clusterFileSchema.safeParse(readYaml(text));
  if (!result.success) {
    const remarks = result.error.issues.flatMap((issue): ConfigRemark[] => {
      const path = issue.path.map(String);
      if (issue.code === 'unrecognized_keys')
        return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'is not a known key' }));
      return [{ path: path.join('.'), message: issue.message }];
    });
    const [first] = remarks;
    const said = remarks.slice(0, PROBLEMS_SHOWN).map(({ path, message }) => `${path === '' ? 'the file' : path}: ${message}`);
    if (remarks.length > PROBLEMS_SHOWN) said.push(`and ${remarks.length - PROBLEMS_SHOWN} more`);
    throw new MusterError('bad-request', said.join('; '), first === undefined ? {} : { field: first.path });
  }
  return compile(result.data);
}

function readYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, maxAliasCount: 100 } as never);
  const [error] = document.errors;
  if (error !== undefined)
    throw new MusterError('bad-request', `the configuration is not YAML: ${error.message.split('\n')[0]}`, { cause: error });
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new MusterError('bad-request', `the configuration is not YAML: ${String(cause)}`, { cause });
  }
}

function compile(file: ClusterFile): ParsedConfig {
  const warnings: string[] = [];
  const pools: Record<string, PoolSpec> = {};
  for (const [name, pool] of Object.entries(file.pools)) {
    const { command, env, memory } = pool.worker;
    const template: WorkerTemplate = { ...(command === undefined ? {} : { command }), env, memoryBytes: memory };
    const isHeldDown = pool.max > 0 && pool.floor > pool.max;
    if (isHeldDown) warnings.push(`pools.${name}.floor: ${pool.floor} is held down to max (${pool.max})`);
    pools[name] = {
      name,
      driver: pool.driver,
      template,
      templateHash: hashOf(template),
      floor: isHeldDown ? pool.max : pool.floor,
      max: pool.max,
      shards: pool.shards,
      recycle: pool.recycle,
      parkedTtlMs: pool.parkedTtl,
      leaseTtlMs: pool.leaseTtl,
      waitMaxMs: pool.waitMax,
      scaleDown: { afterMs: pool.scaleDown.after, everyMs: pool.scaleDown.every },
      breaker: pool.breaker,
      waitersMax: pool.waitersMax,
      refusedPerOrgMax: pool.refusedPerOrgMax,
      surge: pool.surge,
      spawnMs: pool.spawn,
      activationMs: pool.activation,
    };
  }
  return {
    cluster: file.cluster,
    natsServers: file.nats?.servers,
    hostMemoryBudgetBytes: file.host.memoryBudget,
    config: { pools, orgs: file.orgs },
    warnings,
  };
}

/** The same for the same template, whatever the order of its keys. */
function hashOf(template: WorkerTemplate): string {
  return createHash('sha256').update(canonical(template)).digest('hex').slice(0, 12);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** True where applying `next` over `before` would change nothing. */
export function isSameConfig(before: ClusterConfig, next: ClusterConfig): boolean {
  return canonical(before) === canonical(next);
}

/** What keeps `next` from taking the place of `before`: what of a pool cannot change while it exists (DESIGN 7.4). */
export function problemsOfChange(before: ClusterConfig, next: ClusterConfig): readonly ConfigRemark[] {
  return Object.values(next.pools).flatMap((pool): ConfigRemark[] => {
    const old = before.pools[pool.name];
    if (old === undefined) return [];
    const fixed = ['shards', 'driver'] as const;
    return fixed
      .filter((key) => old[key] !== pool[key])
      .map((key) => ({ path: `pools.${pool.name}.${key}`, message: `cannot change while the pool exists: it is ${old[key]}` }));
  });
}
