// What is judged between the decoded object and its validation: the namespace it goes to.
import type { KubernetesObject } from './object.ts';
import { type Resource, resourceOf } from './resources.ts';
import { forbidden, notFound } from './status-error.ts';
import type { World } from './world.ts';

const NAMESPACES = resourceOf('namespaces');

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
