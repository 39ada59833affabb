/** What a pool's workers are when they are started; what is in here is the pool's template and is hashed. */
export interface WorkerTemplate {
  /** `process`: the command and its arguments; `node` means the Node that runs Muster. */
  readonly command?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly memoryBytes: number;
  /** `kubernetes`: what a pod is made from. */
  readonly podTemplate?: PodTemplate;
}

/** Any valid pod, less what Muster sets itself (DESIGN 9). */
export interface PodTemplate {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** How a worker that knows nothing of Muster is talked to: over HTTP, at its address. */
export interface ProbeSpec {
  readonly scheme: 'http' | 'https';
  readonly port: number;
  /** Paths that are posted to; absent: it is not told. Without `reset` it never serves a second org. */
  readonly activate?: string;
  readonly release?: string;
  readonly reset?: string;
}

export type RecyclePolicy = 'single-use' | 'same-org' | 'shared';
export type DriverName = 'process' | 'kubernetes' | 'simulated';
/** How a worker becomes warm: by its own hello, or because what runs it says that it is ready. */
export type WorkerContract = 'hello' | 'probe';

/** One pool of the configuration, compiled: durations in ms, sizes in bytes, defaults filled in. */
export interface PoolSpec {
  readonly name: string;
  readonly driver: DriverName;
  readonly template: WorkerTemplate;
  /** Changes when the template does. */
  readonly templateHash: string;
  /** Workers kept warm. */
  readonly floor: number;
  /** 0: no cap of the pool's own (DESIGN 7.2 says what bounds it then). */
  readonly max: number;
  readonly shards: number;
  readonly recycle: RecyclePolicy;
  readonly parkedTtlMs: number;
  readonly leaseTtlMs: number;
  readonly waitMaxMs: number;
  readonly scaleDown: { readonly afterMs: number; readonly everyMs: number };
  readonly breaker: { readonly failures: number };
  /** Waiters of one shard; beyond it `overloaded`. */
  readonly waitersMax: number;
  readonly refusedPerOrgMax: number;
  /** Share of the floor that a template change may have on top while it replaces. */
  readonly surge: number;
  readonly spawnMs: number;
  readonly activationMs: number;
  /** Absent: the worker says hello. */
  readonly probe?: ProbeSpec;
}

/** The contract of a pool's workers. */
export function contractOf(spec: Pick<PoolSpec, 'probe'>): WorkerContract {
  return spec.probe === undefined ? 'hello' : 'probe';
}

/** One org of the configuration; an org that is not named has no cap and weight 1. */
export interface OrgSpec {
  /** In each pool; 0: no cap. */
  readonly max: number;
  readonly weight: number;
}

/** Pools and orgs as the janitor's journal holds them. */
export interface ClusterConfig {
  readonly pools: Readonly<Record<string, PoolSpec>>;
  readonly orgs: Readonly<Record<string, OrgSpec>>;
}
