// The pod template of a pool, as far as Muster has to understand it: what it sets itself is refused here, with the path, and
// everything else is the API server's to judge. Written either as a pod spec, or with its metadata (`{metadata, spec}`).
import type { PodTemplate } from '@muster/domain';

/** What Muster sets for each worker (DESIGN 8). */
export const RESERVED_ENV: readonly string[] = [
  'MUSTER_NATS_URL',
  'MUSTER_NATS_CREDS',
  'MUSTER_CLUSTER',
  'MUSTER_SLOT',
  'MUSTER_SHARD',
  'MUSTER_TOKEN',
];

/** The container that is the worker, where there are several; the first one where none has this name. */
export const WORKER_CONTAINER = 'worker';
/** Labels and annotations that are Muster's. */
export const LABEL_PREFIX = 'muster.dev/';
/** Says who made a thing; Kubernetes recommends it. */
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';

type Path = readonly (string | number)[];
interface Problem {
  readonly path: Path;
  readonly message: string;
}
type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** True for `{metadata?, spec}`; false for a pod spec by itself. */
function hasSpec(written: Json): boolean {
  return written.spec !== undefined || written.metadata !== undefined;
}

/** A template in its one form, and what of it others have to fit. */
export interface ReadPodTemplate {
  readonly template: PodTemplate;
  /** Names of the variables that the worker's container has. */
  readonly workerEnv: readonly string[];
  /** The first port that the worker's container names. */
  readonly workerPort: number | undefined;
}

/** Reads what `problemsOfPodTemplate` had nothing against. */
export function podTemplateOf(written: Json): ReadPodTemplate {
  const template = (hasSpec(written) ? written : { spec: written }) as unknown as PodTemplate;
  const spec = isObject(template.spec) ? template.spec : {};
  const containers = listOf(spec.containers);
  const worker = containers[workerContainerAt(containers)];
  const ports = listOf(worker?.ports).map(({ containerPort }) => containerPort);
  return {
    template,
    workerEnv: listOf(worker?.env).map(({ name }) => String(name)),
    workerPort: ports.find((port): port is number => typeof port === 'number'),
  };
}

/** Which container is the worker. */
export function workerContainerAt(containers: readonly Json[]): number {
  const at = containers.findIndex(({ name }) => name === WORKER_CONTAINER);
  return at === -1 ? 0 : at;
}

/** Everything of a template that contradicts what Muster sets, or that it could not build upon. */
export function problemsOfPodTemplate(written: Json): readonly Problem[] {
  const base: Path = hasSpec(written) ? ['spec'] : [];
  const spec = hasSpec(written) ? written.spec : written;
  const others = hasSpec(written) ? Object.keys(written).filter((key) => key !== 'metadata' && key !== 'spec') : [];
  const unknown = others.map((key): Problem => ({ path: [key], message: 'is not a part of a pod template: metadata and spec are' }));
  if (!isObject(spec)) return [...unknown, { path: ['spec'], message: 'must be a pod spec' }];
  return [...unknown, ...problemsOfMetadata(written.metadata), ...problemsOfSpec(spec, base)];
}

const OWN_METADATA: Readonly<Record<string, string>> = {
  name: 'is set by Muster itself: the slot',
  generateName: 'is set by Muster itself: the slot',
  namespace: 'is set by Muster itself: kubernetes.namespace',
  ownerReferences: 'may not be: pods outlive replicas',
};

function problemsOfMetadata(metadata: unknown): readonly Problem[] {
  if (metadata === undefined) return [];
  if (!isObject(metadata)) return [{ path: ['metadata'], message: 'must be a map' }];
  const own = Object.entries(OWN_METADATA)
    .filter(([key]) => metadata[key] !== undefined)
    .map(([key, message]): Problem => ({ path: ['metadata', key], message }));
  const maps = (['labels', 'annotations'] as const).flatMap((map): readonly Problem[] => {
    const entries = metadata[map];
    if (entries === undefined) return [];
    if (!isObject(entries)) return [{ path: ['metadata', map], message: 'must be a map' }];
    return Object.entries(entries)
      .filter(([key, value]) => key.startsWith(LABEL_PREFIX) || (map === 'labels' && key === MANAGED_BY_LABEL && value !== 'muster'))
      .map(([key]): Problem => ({ path: ['metadata', map, key], message: 'is set by Muster itself' }));
  });
  return [...own, ...maps];
}

function problemsOfSpec(spec: Json, base: Path): readonly Problem[] {
  const problems: Problem[] = [];
  const { restartPolicy, automountServiceAccountToken } = spec;
  if (restartPolicy !== undefined && restartPolicy !== 'Never') {
    problems.push({ path: [...base, 'restartPolicy'], message: 'is Never: a worker that ends is replaced by another slot' });
  }
  if (automountServiceAccountToken === true) {
    const message = 'is false: a worker gets no service-account token (mount a projected volume where it needs one)';
    problems.push({ path: [...base, 'automountServiceAccountToken'], message });
  }
  if (!Array.isArray(spec.containers) || spec.containers.length === 0) {
    problems.push({ path: [...base, 'containers'], message: 'must have one or more containers' });
  }
  for (const key of ['containers', 'initContainers'] as const) problems.push(...problemsOfContainers(spec[key], [...base, key]));
  return problems;
}

function problemsOfContainers(containers: unknown, base: Path): readonly Problem[] {
  if (containers === undefined) return [];
  if (!Array.isArray(containers)) return [{ path: base, message: 'must be a list' }];
  return containers.flatMap((container: unknown, at): readonly Problem[] => {
    if (!isObject(container)) return [{ path: [...base, at], message: 'must be a map' }];
    if (container.env === undefined) return [];
    if (!Array.isArray(container.env)) return [{ path: [...base, at, 'env'], message: 'must be a list' }];
    return container.env.flatMap((variable: unknown, index): readonly Problem[] => {
      const path = [...base, at, 'env', index];
      if (!isObject(variable)) return [{ path, message: 'must be a map' }];
      const name = String(variable.name);
      return RESERVED_ENV.includes(name) ? [{ path, message: `${name} is set by Muster itself` }] : [];
    });
  });
}
