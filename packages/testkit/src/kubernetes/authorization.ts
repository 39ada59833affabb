// Who may do what: the RBAC of the documents that are stored, with the words of the real refusals.
import { type KubernetesObject, listAt, objectAt, stringAt } from './object.ts';
import { type Resource, resourceOf } from './resources.ts';
import { forbidden, StatusError } from './status-error.ts';
import type { Store } from './store.ts';
import type { User } from './world.ts';

/** Members may do everything, whatever the documents say. */
export const MASTERS = 'system:masters';
export const ANONYMOUS: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** What is asked for: a verb on a resource, or on a path that is none. */
export interface Attributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty: of the cluster, or in all namespaces. */
  readonly namespace: string;
  readonly name: string;
}

const ROLES = resourceOf('roles');
const CLUSTER_ROLES = resourceOf('clusterroles');
const ROLE_BINDINGS = resourceOf('rolebindings');
const CLUSTER_ROLE_BINDINGS = resourceOf('clusterrolebindings');

export function isAllowed(store: Store, user: User, attributes: Attributes): boolean {
  if (user.groups.includes(MASTERS)) return true;
  return rulesOf(store, user, attributes.namespace).some((rule) => covers(rule, attributes));
}

/** @throws StatusError 403 */
export function authorize(store: Store, user: User, resource: Pick<Resource, 'group' | 'plural'>, attributes: Attributes): void {
  if (isAllowed(store, user, attributes)) return;
  throw forbidden(resource, attributes.name, refusal(user, attributes));
}

/** As the server says it to whom it refuses something. */
export function refusal(user: User, { verb, group, resource, subresource, namespace }: Attributes): string {
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return `User "${user.name}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`;
}

/** Paths that everybody may read; the rest of what is no resource is for those who are known. */
const PUBLIC_PATHS = /^\/(healthz|livez|readyz|version)(\/.*)?$/;
const DISCOVERY_PATHS = /^\/(api|apis|openapi)(\/.*)?$/;

/** @throws StatusError 403 */
export function authorizePath(user: User, method: string, path: string): void {
  if (user.groups.includes(MASTERS) || PUBLIC_PATHS.test(path)) return;
  if (DISCOVERY_PATHS.test(path) && user.groups.includes('system:authenticated')) return;
  throw new StatusError(403, 'Forbidden', `forbidden: User "${user.name}" cannot ${method.toLowerCase()} path "${path}"`, {});
}

function rulesOf(store: Store, user: User, namespace: string): readonly unknown[] {
  const clusterWide = store.list(CLUSTER_ROLE_BINDINGS).filter((binding) => binds(binding, user));
  const local = namespace === '' ? [] : store.list(ROLE_BINDINGS, namespace).filter((binding) => binds(binding, user));
  return [...clusterWide, ...local].flatMap((binding) => {
    const { kind, name } = objectAt(binding, 'roleRef');
    const isCluster = kind === 'ClusterRole';
    const role = isCluster ? store.get(CLUSTER_ROLES, undefined, String(name)) : store.get(ROLES, binding.metadata.namespace, String(name));
    return listAt(role, 'rules');
  });
}

function binds(binding: KubernetesObject, user: User): boolean {
  return listAt(binding, 'subjects').some((one) => {
    const { kind, name } = objectAt(one);
    const namespace = stringAt(one, 'namespace') ?? binding.metadata.namespace ?? '';
    if (kind === 'User') return name === user.name;
    if (kind === 'Group') return user.groups.includes(String(name));
    return kind === 'ServiceAccount' && user.name === serviceAccountUser(namespace, String(name));
  });
}

function covers(rule: unknown, { verb, group, resource, subresource, name }: Attributes): boolean {
  const has = (field: string, value: string): boolean => listAt(rule, field).some((one) => one === '*' || one === value);
  const names = listAt(rule, 'resourceNames');
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const isCovered = has('resources', what) || (subresource !== '' && listAt(rule, 'resources').includes(`*/${subresource}`));
  return has('verbs', verb) && has('apiGroups', group) && isCovered && (names.length === 0 || names.includes(name));
}

/** The name under which the pods of a service account are known. */
export function serviceAccountUser(namespace: string, name: string): string {
  return `system:serviceaccount:${namespace}:${name}`;
}

export function serviceAccountGroups(namespace: string): readonly string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
}
