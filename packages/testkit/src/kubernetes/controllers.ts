// The controllers without which an API server is only a store: the garbage collector, those of namespaces and of quotas.
//
//   C1. What is owned by things that are all gone is deleted, soon after.
//   C2. A namespace that is being deleted is emptied; when nothing is left in it, it is gone.
import type { Timer } from '@muster/ports';
import { deleteInBackground, finishDeletion } from './deletes.ts';
import { type KubernetesObject, keyOf, makeMetadata, type ObjectMeta, objectAt } from './object.ts';
import { computeQuotas, hasQuota } from './quota.ts';
import { RESOURCES, type Resource, resourceOf } from './resources.ts';
import type { StoreEvent } from './store.ts';
import type { World } from './world.ts';

const NAMESPACES = resourceOf('namespaces');

interface Dependent {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
}

export class Controllers {
  readonly #world: World;
  readonly #unsubscribe: () => void;
  readonly #uids = new Set<string>();
  /** By the uid of the owner, then by their own key. */
  readonly #dependents = new Map<string, Map<string, Dependent>>();
  readonly #terminating = new Set<string>();
  readonly #work: (() => void)[] = [];
  #timer: Timer | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#unsubscribe = world.store.subscribe((event) => this.#hear(event));
  }

  close(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
  }

  #hear(event: StoreEvent): void {
    const { resource, object, previous, type } = event;
    const { uid, namespace } = object.metadata;
    if (type === 'DELETED') this.#uids.delete(uid);
    else this.#uids.add(uid);
    this.#index(event);
    // Within the write (Q1 of the quotas): the next request is judged by what this one took.
    if (namespace !== undefined && resource.plural !== 'events' && hasQuota(this.#world, namespace)) computeQuotas(this.#world, namespace);
    if (type === 'DELETED') this.#later(() => this.#collectOwnedBy(uid));
    else if (object.metadata.ownerReferences !== undefined && object.metadata.ownerReferences !== previous?.metadata.ownerReferences) {
      this.#later(() => this.#collectIfOrphaned(dependentOf(resource, object)));
    }
    if (type !== 'DELETED' && object.metadata.finalizers?.some((one) => one === 'foregroundDeletion' || one === 'orphan')) {
      this.#later(() => this.#propagate(dependentOf(resource, object)));
    }
    if (resource === NAMESPACES && type === 'MODIFIED' && object.metadata.deletionTimestamp !== undefined) {
      this.#terminating.add(object.metadata.name);
      this.#later(() => this.#emptyNamespace(object.metadata.name));
    } else if (type === 'DELETED' && namespace !== undefined && this.#terminating.has(namespace)) {
      this.#later(() => this.#finishNamespace(namespace));
    }
  }

  #index({ resource, object, previous, type }: StoreEvent): void {
    const key = `${resource.group}/${resource.plural}/${keyOf(resource, object)}`;
    for (const { uid } of previous?.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(key);
      if (dependents?.size === 0) this.#dependents.delete(uid);
    }
    if (type === 'DELETED') return;
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(uid) ?? new Map<string, Dependent>();
      dependents.set(key, dependentOf(resource, object));
      this.#dependents.set(uid, dependents);
    }
  }

  /** Not within the write that was heard of: a controller is somebody else. */
  #later(work: () => void): void {
    this.#work.push(work);
    this.#timer ??= this.#world.clock.setTimer(0, () => {
      this.#timer = undefined;
      for (const one of this.#work.splice(0)) one();
    });
  }

  #collectOwnedBy(uid: string): void {
    for (const dependent of this.#dependents.get(uid)?.values() ?? []) this.#collectIfOrphaned(dependent);
  }

  #collectIfOrphaned({ resource, namespace, name }: Dependent): void {
    const object = this.#world.store.get(resource, namespace, name);
    const owners = object?.metadata.ownerReferences ?? [];
    if (object === undefined || owners.length === 0 || owners.some(({ uid }) => this.#uids.has(uid))) return;
    deleteInBackground(this.#world, resource, object);
  }

  /** Foreground: the dependents go first. Orphan: they stay, and forget their owner. */
  #propagate(owner: Dependent): void {
    const { store } = this.#world;
    const object = store.get(owner.resource, owner.namespace, owner.name);
    if (object?.metadata.deletionTimestamp === undefined) return;
    const { uid, finalizers = [] } = object.metadata;
    for (const { resource, namespace, name } of this.#dependents.get(uid)?.values() ?? []) {
      const dependent = store.get(resource, namespace, name);
      if (dependent === undefined) continue;
      if (finalizers.includes('foregroundDeletion')) deleteInBackground(this.#world, resource, dependent);
      else
        store.put(
          resource,
          withMetadata(dependent, { ownerReferences: dependent.metadata.ownerReferences?.filter((one) => one.uid !== uid) }),
        );
    }
    const isFree = finalizers.includes('orphan') || (this.#dependents.get(uid)?.size ?? 0) === 0;
    if (!isFree) {
      this.#world.clock.setTimer(RETRY_MS, () => this.#propagate(owner));
      return;
    }
    const rest = finalizers.filter((one) => one !== 'foregroundDeletion' && one !== 'orphan');
    const freed = store.put(owner.resource, withMetadata(object, { finalizers: rest.length === 0 ? undefined : rest }));
    finishDeletion(this.#world, owner.resource, freed);
  }

  #emptyNamespace(name: string): void {
    for (const resource of RESOURCES) {
      if (!resource.isNamespaced) continue;
      for (const object of this.#world.store.list(resource, name)) deleteInBackground(this.#world, resource, object);
    }
    this.#finishNamespace(name);
  }

  #finishNamespace(name: string): void {
    const { store } = this.#world;
    const namespace = store.get(NAMESPACES, undefined, name);
    if (namespace === undefined || RESOURCES.some((one) => one.isNamespaced && store.list(one, name).length > 0)) return;
    this.#terminating.delete(name);
    const { finalizers: _finalizers, ...spec } = objectAt(namespace, 'spec');
    finishDeletion(this.#world, NAMESPACES, { ...namespace, spec });
  }
}

const RETRY_MS = 50;

function dependentOf(resource: Resource, { metadata }: KubernetesObject): Dependent {
  return { resource, namespace: metadata.namespace, name: metadata.name };
}

function withMetadata(
  object: KubernetesObject,
  metadata: { readonly [K in keyof ObjectMeta]?: ObjectMeta[K] | undefined },
): KubernetesObject {
  return { ...object, metadata: makeMetadata({ ...object.metadata, ...metadata }) };
}
