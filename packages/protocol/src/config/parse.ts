import { createHash } from 'node:crypto';
import { type ClusterConfig, contractOf, ownOf, type PoolSpec, type ProbeSpec, type WorkerTemplate } from '@muster/domain';
import { LineCounter, parseDocument, visit } from 'yaml';
import { MusterError } from '../errors.ts';
import type { NatsTls } from './nats-access.ts';
import { podTemplateOf } from './pod-template.ts';
import { type ConfigRemark, remarksOf, wordsOf } from './problem.ts';
import { type ClusterFile, clusterFileSchema } from './schema.ts';

/** A configuration, compiled: durations in ms, sizes in bytes, defaults filled in. */
export interface ParsedConfig {
  readonly cluster: { readonly name: string };
  /** Undefined: `muster up` runs a server. */
  readonly natsServers: readonly string[] | undefined;
  /** Copies of the journals. */
  readonly natsReplicas: number;
  /** Files as they are written: from the folder of the configuration. */
  readonly natsTls: NatsTls;
  /** Undefined: 75 % of the machine's or the container's. */
  readonly hostMemoryBudgetBytes: number | undefined;
  /** Where pods are; what is left out is the pod's own, or the current context's. */
  readonly kubernetes: KubernetesFile;
  readonly config: ClusterConfig;
  /** What is allowed and probably not meant. */
  readonly warnings: readonly string[];
}

/** The section `kubernetes`. */
export interface KubernetesFile {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

/** The largest configuration, characters. */
const TEXT_MAX = 1024 * 1024;
/** Pools and orgs are one record of the janitor's journal, twice while pools are being retired. */
const COMPILED_BYTES_MAX = 256 * 1024;
const PROBLEMS_SHOWN = 20;

/**
 * Reads `muster.yaml` as a whole.
 * @throws MusterError `bad-request` that names every problem with its path; `field` is the first one's
 */
export function parseClusterConfig(text: string): ParsedConfig {
  if (text.length > TEXT_MAX)
    throw new MusterError('payload-too-large', `the configuration has ${text.length} characters, the limit is ${TEXT_MAX}`);
  const result = clusterFileSchema.safeParse(readYaml(text), { error: wordsOf });
  if (!result.success) {
    const remarks = remarksOf(result.error.issues);
    const [first] = remarks;
    const said = remarks.slice(0, PROBLEMS_SHOWN).map(({ path, message }) => `${path === '' ? 'the file' : path}: ${message}`);
    if (remarks.length > PROBLEMS_SHOWN) said.push(`and ${remarks.length - PROBLEMS_SHOWN} more`);
    throw new MusterError('bad-request', said.join('; '), first === undefined ? {} : { field: first.path });
  }
  const parsed = compile(result.data);
  const bytes = Buffer.byteLength(JSON.stringify(parsed.config));
  if (bytes > COMPILED_BYTES_MAX)
    throw new MusterError('payload-too-large', `the pools and orgs have ${bytes} bytes, the limit is ${COMPILED_BYTES_MAX}`);
  return parsed;
}

function readYaml(text: string): unknown {
  try {
    // The parser's own look for a key that is there twice compares all with all: 16,000 keys would hold a replica up for seconds.
    // Likewise its errors: only the first is shown, so only that one is made readable.
    const lines = new LineCounter();
    const document = parseDocument(text, { logLevel: 'error', uniqueKeys: false, prettyErrors: false, lineCounter: lines });
    const [error] = document.errors;
    if (error !== undefined) {
      const { line, col } = lines.linePos(error.pos[0]);
      throw new Error(`${error.message} at line ${line}, column ${col}`, { cause: error });
    }
    visit(document, { Map: (_, { items }) => refuseTwins(items.map(({ key }) => String(key))) });
    return document.toJS({
      maxAliasCount: 100,
      reviver: (key, value) => {
        if (key === '__proto__') throw new Error('no key may be __proto__');
        return value;
      },
    });
  } catch (cause) {
    const [line = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new MusterError('bad-request', `the configuration is not YAML: ${line}`, { cause });
  }
}

function refuseTwins(keys: readonly string[]): void {
  const seen = new Set<string>();
  for (const key of keys) {
    if (seen.has(key)) throw new Error(`the key ${JSON.stringify(key.slice(0, 40))} is there twice in one map`);
    seen.add(key);
  }
}

function compile(file: ClusterFile): ParsedConfig {
  const warnings: string[] = [];
  const pools: Record<string, PoolSpec> = {};
  for (const [name, pool] of Object.entries(file.pools)) {
    const { command, env, memory } = pool.worker;
    const pod = pool.podTemplate === undefined ? undefined : podTemplateOf(pool.podTemplate);
    const template: WorkerTemplate = {
      ...(command === undefined ? {} : { command }),
      env,
      memoryBytes: memory,
      ...(pod === undefined ? {} : { podTemplate: pod.template }),
    };
    if (pool.activation >= pool.leaseTtl) {
      warnings.push(`pools.${name}.activation: ${pool.activation} ms, but a lease of ${pool.leaseTtl} ms runs out before`);
    }
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
      ...(pool.contract === 'hello' ? {} : { probe: probeOf(pool.probe, pod?.workerPort) }),
    };
  }
  return {
    cluster: file.cluster,
    natsServers: file.nats.servers,
    natsReplicas: file.nats.replicas,
    natsTls: tlsOf(file.nats.tls),
    hostMemoryBudgetBytes: file.host.memoryBudget,
    kubernetes: withoutUndefined(file.kubernetes),
    config: { pools, orgs: file.orgs },
    warnings,
  };
}

/** `port` is there: the schema wants it where the template names none. */
function probeOf(probe: ClusterFile['pools'][string]['probe'], templatePort = 0): ProbeSpec {
  const { scheme = 'http', port = templatePort, ...paths } = probe ?? {};
  return { scheme, port, ...withoutUndefined(paths) };
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
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
    const old = ownOf(before.pools, pool.name);
    if (old === undefined) return [];
    const fixed = { shards: old.shards, driver: old.driver, contract: contractOf(old) };
    const wanted = { shards: pool.shards, driver: pool.driver, contract: contractOf(pool) };
    return (['shards', 'driver', 'contract'] as const)
      .filter((key) => fixed[key] !== wanted[key])
      .map((key) => ({ path: `pools.${pool.name}.${key}`, message: `cannot change while the pool exists: it is ${fixed[key]}` }));
  });
}

function tlsOf({ ca, cert, key }: ClusterFile['nats']['tls']): NatsTls {
  return {
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(cert === undefined || key === undefined ? {} : { certFile: cert, keyFile: key }),
  };
}
