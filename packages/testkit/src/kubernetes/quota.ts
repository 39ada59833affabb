// Resource quotas: what a namespace may hold, judged when something is made.
//
//   Q1. What is refused was never made, and what is made is counted before the next is judged.
//   Q2. Where nobody has computed a quota's status yet (no controller runs), nothing that it limits can be made.
import { isObject, type KubernetesObject, listAt, objectAt, stringAt } from './object.ts';
import { formatQuantity, tryQuantity } from './quantity.ts';
import { type Resource, resourceOf } from './resources.ts';
import { forbidden } from './status-error.ts';
import type { World } from './world.ts';

const PODS = resourceOf('pods');
const QUOTAS = resourceOf('resourcequotas');

type Amounts = Readonly<Record<string, number>>;

/** @throws StatusError 403 where a quota of its namespace would be exceeded */
export function admitQuota(world: World, resource: Resource, object: KubernetesObject): void {
  const { namespace, name } = object.metadata;
  if (namespace === undefined) return;
  for (const quota of world.store.list(QUOTAS, namespace)) {
    const asked = usageOf(resource, object);
    const hard = objectAt(quota, 'spec', 'hard');
    const limited = Object.keys(hard).filter((what) => what in asked || isComputeOf(resource, what));
    if (limited.length === 0) continue;
    const quotaName = quota.metadata.name;
    const status = objectAt(quota, 'status', 'hard');
    const unknown = limited.filter((what) => !(what in status));
    if (unknown.length > 0)
      throw forbidden(resource, name, `status unknown for quota: ${quotaName}, resources: ${unknown.toSorted().join(',')}`);
    const unsaid = limited.filter((what) => !(what in asked));
    if (unsaid.length > 0) throw forbidden(resource, name, `failed quota: ${quotaName}: must specify ${unsaid.toSorted().join(',')}`);
    const used = objectAt(quota, 'status', 'used');
    const above = limited.filter(
      (what) => (asked[what] ?? 0) > 0 && (tryQuantity(used[what]) ?? 0) + (asked[what] ?? 0) > (tryQuantity(hard[what]) ?? 0),
    );
    if (above.length === 0) continue;
    const show = (amounts: (what: string) => unknown): string =>
      above
        .toSorted()
        .map((what) => `${what}=${String(amounts(what))}`)
        .join(',');
    const requested = show((what) => formatQuantity(asked[what] ?? 0));
    throw forbidden(
      resource,
      name,
      `exceeded quota: ${quotaName}, requested: ${requested}, used: ${show((what) => used[what] ?? '0')}, limited: ${show((what) => hard[what])}`,
    );
  }
}

/** Writes down how much of each quota of the namespace is used, where that has changed. */
export function computeQuotas(world: World, namespace: string): void {
  const { store } = world;
  for (const quota of store.list(QUOTAS, namespace)) {
    const hard = objectAt(quota, 'spec', 'hard');
    const used: Record<string, string> = {};
    for (const what of Object.keys(hard)) {
      const resource = limitedResource(what);
      const sum =
        resource === undefined ? 0 : store.list(resource, namespace).reduce((total, one) => total + (usageOf(resource, one)[what] ?? 0), 0);
      used[what] = formatQuantity(sum);
    }
    const status = { hard, used };
    if (JSON.stringify(status) !== JSON.stringify(quota['status'])) store.put(QUOTAS, { ...quota, status });
  }
}

/** True where a quota of the namespace may count such objects. */
export function hasQuota({ store }: World, namespace: string): boolean {
  return store.list(QUOTAS, namespace).length > 0;
}

const COMPUTE: Readonly<Record<string, readonly [kind: string, what: string]>> = {
  cpu: ['requests', 'cpu'],
  memory: ['requests', 'memory'],
  'requests.cpu': ['requests', 'cpu'],
  'requests.memory': ['requests', 'memory'],
  'limits.cpu': ['limits', 'cpu'],
  'limits.memory': ['limits', 'memory'],
};

function isComputeOf(resource: Resource, what: string): boolean {
  return resource === PODS && what in COMPUTE;
}

const COUNTED = ['pods', 'secrets', 'configmaps', 'services', 'persistentvolumeclaims', 'resourcequotas'];

function limitedResource(what: string): Resource | undefined {
  if (what in COMPUTE) return PODS;
  const plural = what.startsWith('count/') ? (what.slice(6).split('.', 1)[0] ?? '') : what;
  return COUNTED.includes(plural) ? resourceOf(plural) : undefined;
}

/** How much one object takes of everything that a quota may limit. */
function usageOf(resource: Resource, object: KubernetesObject): Amounts {
  const count = `count/${resource.plural}${resource.group === '' ? '' : `.${resource.group}`}`;
  if (resource !== PODS) return { [count]: 1, ...(COUNTED.includes(resource.plural) ? { [resource.plural]: 1 } : {}) };
  const phase = stringAt(object, 'status', 'phase');
  // A pod that has ended takes nothing but its own place among the objects.
  if (phase === 'Failed' || phase === 'Succeeded') return { [count]: 1 };
  const usage: Record<string, number> = { [count]: 1, pods: 1 };
  for (const [what, [kind, name]] of Object.entries(COMPUTE)) {
    const amounts = listAt(object, 'spec', 'containers').map((one) =>
      isObject(one) ? tryQuantity(objectAt(one, 'resources', kind)[name]) : undefined,
    );
    if (amounts.length > 0 && amounts.every((amount) => amount !== undefined))
      usage[what] = amounts.reduce((sum, amount) => sum + amount, 0);
  }
  return usage;
}
