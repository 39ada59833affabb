// What is judged between the decoded object and its validation: the namespace it goes to, and a pod's service account.
import { type KubernetesObject, objectAt, stringAt } from './object.ts';
import { type Resource, resourceOf } from './resources.ts';
import { forbidden, notFound } from './status-error.ts';
import type { World } from './world.ts';

const NAMESPACES = resourceOf('namespaces');
const SERVICE_ACCOUNTS = resourceOf('serviceaccounts');

/** @throws StatusError 404 where the namespace is not there, 403 where it is going */
export function admitNamespace({ store }: World, resource: Resource, object: KubernetesObject): void {
  const { namespace, name } = object.metadata;
  if (namespace === undefined) return;
  const found = store.get(NAMESPACES, undefined, namespace);
  if (found === undefined) throw notFound(NAMESPACES, namespace);
  if (found.metadata.deletionTimestamp === undefined) return;
  throw forbidden(resource, name, `unable to create new content in namespace ${namespace} because it is being terminated`, [
    { reason: 'NamespaceTerminating', message: `namespace ${namespace} is being terminated`, field: 'metadata.namespace' },
  ]);
}

/**
 * The pod with its service account, where that is judged (admission ServiceAccount); its token is not mounted.
 * @throws StatusError 403 where there is no such account
 */
export function admitServiceAccount(world: World, resource: Resource, object: KubernetesObject): KubernetesObject {
  if (!world.hasServiceAccounts || resource.plural !== 'pods') return object;
  const { namespace = '', name } = object.metadata;
  const account = stringAt(object, 'spec', 'serviceAccountName') || 'default';
  if (world.store.get(SERVICE_ACCOUNTS, namespace, account) === undefined) {
    throw forbidden(resource, name, `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`);
  }
  return { ...object, spec: { ...objectAt(object, 'spec'), serviceAccountName: account } };
}
