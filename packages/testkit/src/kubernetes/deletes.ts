// Delete, and what has to happen before something is gone.
//
//   D1. A pod on a node stays, with a deletionTimestamp, until its kubelet deletes it with grace 0; one without a node, or
//       that has ended, goes at once.
//   D2. A grace period is only ever shortened.
//   D3. What has a finalizer stays until the last one is taken off.
import {
  compact,
  isObject,
  type JsonObject,
  jsonOf,
  type KubernetesObject,
  listAt,
  makeMetadata,
  objectAt,
  stringAt,
  timestamp,
} from './object.ts';
import type { Resource } from './resources.ts';
import { notFound, preconditionFailed } from './status-error.ts';
import { type ApiAnswer, type ApiRequest, isDryRun, type World } from './world.ts';

const POD_GRACE_SECONDS = 30;
const MS_PER_SECOND = 1000;

interface DeleteOptions {
  readonly gracePeriodSeconds: number | undefined;
  readonly propagation: string | undefined;
  readonly preconditions: JsonObject;
  readonly isDryRun: boolean;
}

interface Deleted {
  readonly object: KubernetesObject;
  readonly isGone: boolean;
}

export function deleteOne(world: World, request: ApiRequest): ApiAnswer {
  const { resource, namespace, name } = request;
  const found = world.store.get(resource, namespace, name);
  if (found === undefined) throw notFound(resource, name);
  const options = readOptions(request);
  const { object, isGone } = deleteObject(world, resource, found, options);
  if (!isGone || resource.plural === 'pods') {
    return { status: !isGone && options.propagation === 'Foreground' ? 202 : 200, text: jsonOf(object) };
  }
  const details = compact({
    name,
    group: resource.group === '' ? undefined : resource.group,
    kind: resource.plural,
    uid: object.metadata.uid,
  });
  return { status: 200, text: JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }) };
}

/** Deletes all of these, each as if it were alone, and gives them as they were before. */
export function deleteAll(world: World, request: ApiRequest, objects: readonly KubernetesObject[]): void {
  const options = readOptions(request);
  for (const object of objects) {
    const present = world.store.get(request.resource, object.metadata.namespace, object.metadata.name);
    if (present !== undefined) deleteObject(world, request.resource, present, options);
  }
}

/** As a controller deletes: in the background, with the object's own grace period. */
export function deleteInBackground(world: World, resource: Resource, object: KubernetesObject): void {
  const options = { gracePeriodSeconds: undefined, propagation: 'Background', preconditions: {}, isDryRun: false };
  deleteObject(world, resource, object, options);
}

function readOptions({ query, body }: ApiRequest): DeleteOptions {
  const options = isObject(body) ? body : {};
  const grace = options['gracePeriodSeconds'] ?? (query.has('gracePeriodSeconds') ? Number(query.get('gracePeriodSeconds')) : undefined);
  return {
    gracePeriodSeconds: typeof grace === 'number' && Number.isInteger(grace) ? Math.max(0, grace) : undefined,
    propagation: stringAt(options, 'propagationPolicy') ?? query.get('propagationPolicy') ?? undefined,
    preconditions: objectAt(options, 'preconditions'),
    isDryRun: isDryRun(query, options),
  };
}

function deleteObject(world: World, resource: Resource, found: KubernetesObject, options: DeleteOptions): Deleted {
  checkPreconditions(resource, found, options.preconditions);
  const marked = mark(world, resource, found, options);
  if (marked === undefined) return { object: found, isGone: false };
  const mustStay =
    (marked.metadata.finalizers ?? []).length > 0 || (marked.metadata.deletionGracePeriodSeconds ?? 0) > 0 || isHeld(resource, marked);
  if (options.isDryRun) return { object: marked, isGone: !mustStay };
  // A pod's mark is a version of its own, also when it goes at once; other kinds are only marked where they stay.
  const isStored = mustStay || resource.plural === 'pods';
  const stored = isStored && marked !== found ? world.store.put(resource, marked) : marked;
  return mustStay ? { object: stored, isGone: false } : { object: world.store.remove(resource, stored), isGone: true };
}

/** A namespace has a finalizer of its own kind, in its spec. */
function isHeld(resource: Resource, object: KubernetesObject): boolean {
  return resource.plural === 'namespaces' && listAt(object, 'spec', 'finalizers').length > 0;
}

function checkPreconditions(resource: Resource, { metadata }: KubernetesObject, preconditions: JsonObject): void {
  const { uid, resourceVersion } = preconditions;
  if (typeof uid === 'string' && uid !== metadata.uid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`;
    throw preconditionFailed(resource, metadata.name, why);
  }
  if (typeof resourceVersion === 'string' && resourceVersion !== metadata.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`;
    throw preconditionFailed(resource, metadata.name, why);
  }
}

/** The object with its deletion written on it; undefined where an earlier delete already says all that this one does. */
function mark(world: World, resource: Resource, found: KubernetesObject, options: DeleteOptions): KubernetesObject | undefined {
  const { metadata } = found;
  const grace = resource.plural === 'pods' ? graceOf(found, options) : 0;
  const finalizers = finalizersFor(metadata.finalizers ?? [], options.propagation);
  const pending = metadata.deletionGracePeriodSeconds;
  if (metadata.deletionTimestamp !== undefined && pending !== undefined) {
    if (resource.plural !== 'pods') return found;
    if (options.gracePeriodSeconds === undefined || (pending > 0 && grace >= pending)) return undefined;
    if (pending === 0) return found;
    const due = Date.parse(metadata.deletionTimestamp) - (pending - grace) * MS_PER_SECOND;
    return { ...found, metadata: { ...metadata, deletionTimestamp: timestamp(due), deletionGracePeriodSeconds: grace } };
  }
  const generation = metadata.generation === undefined ? undefined : metadata.generation + 1;
  const deletionTimestamp = timestamp(world.clock.wallMs() + grace * MS_PER_SECOND);
  const marked = {
    ...metadata,
    generation,
    deletionTimestamp,
    deletionGracePeriodSeconds: grace,
    finalizers: finalizers.length === 0 ? undefined : finalizers,
  };
  const object = { ...found, metadata: makeMetadata(marked) };
  return resource.plural === 'namespaces' ? { ...object, status: { ...objectAt(object, 'status'), phase: 'Terminating' } } : object;
}

function graceOf(pod: KubernetesObject, options: DeleteOptions): number {
  const { nodeName, terminationGracePeriodSeconds } = objectAt(pod, 'spec');
  const phase = stringAt(pod, 'status', 'phase');
  if (typeof nodeName !== 'string' || nodeName === '' || phase === 'Failed' || phase === 'Succeeded') return 0;
  return (
    options.gracePeriodSeconds ?? (typeof terminationGracePeriodSeconds === 'number' ? terminationGracePeriodSeconds : POD_GRACE_SECONDS)
  );
}

function finalizersFor(present: readonly string[], propagation: string | undefined): readonly string[] {
  const others = present.filter((one) => one !== 'foregroundDeletion' && one !== 'orphan');
  if (propagation === 'Foreground') return [...others, 'foregroundDeletion'];
  return propagation === 'Orphan' ? [...others, 'orphan'] : present;
}

/** Takes away what was marked and is held by nothing any more (D3). */
export function finishDeletion(world: World, resource: Resource, object: KubernetesObject): KubernetesObject {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds > 0 || finalizers.length > 0 || isHeld(resource, object)) return object;
  return world.store.remove(resource, object);
}
