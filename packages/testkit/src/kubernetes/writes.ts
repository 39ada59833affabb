// Create, update and patch.
//
//   W1. A write from another version than the present one is refused (409), when it names the version it is from.
//   W2. A write that changes nothing has no revision, and nobody hears of it.
//   W3. A dry run goes as far as a real one, and stores nothing.
import { isDeepStrictEqual } from 'node:util';
import { admitNamespace, admitServiceAccount } from './admission.ts';
import { checkKind, decodeAs } from './decode.ts';
import { finishDeletion } from './deletes.ts';
import {
  compact,
  isObject,
  type JsonObject,
  jsonOf,
  type KubernetesObject,
  makeMetadata,
  makeUid,
  objectAt,
  stringAt,
  timestamp,
} from './object.ts';
import { applyPatch } from './patch.ts';
import { admitQuota } from './quota.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { alreadyExists, badRequest, conflict, invalid, modified, notFound } from './status-error.ts';
import { differsInSpec, strategyOf } from './strategies.ts';
import { checkMetadata } from './validation.ts';
import { type ApiAnswer, type ApiRequest, isDryRun, type World } from './world.ts';

const SUFFIX_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const GENERATED_NAME_MAX = 58;

export function create(world: World, request: ApiRequest): ApiAnswer {
  const { resource } = request;
  const { body, warnings } = decode(resource, request.body, request.query);
  const given = decodeMetadata(resource, request.namespace, objectAt(body, 'metadata'));
  const name = stringAt(given, 'name') || generateName(world, stringAt(given, 'generateName'));
  const object = {
    kind: resource.kind,
    apiVersion: apiVersionOf(resource),
    ...body,
    metadata: { ...given, name } as unknown as KubernetesObject['metadata'],
  } as KubernetesObject;
  const generated = stringAt(given, 'generateName');
  admitNamespace(world, resource, object);
  const admitted = admitServiceAccount(world, resource, object);
  const prepared = strategyOf(resource).prepareCreate({ ...admitted, metadata: newMetadata(world, resource, given, name, generated) });
  const causes = [...checkMetadata(resource, { ...prepared.metadata }), ...strategyOf(resource).check(prepared)];
  if (causes.length > 0) throw invalid(resource, name, causes);
  // As the real server has it: over a quota, a name that is taken is a 403 and not a 409.
  admitQuota(world, resource, prepared);
  if (world.store.get(resource, prepared.metadata.namespace, name) !== undefined) throw alreadyExists(resource, name);
  const stored = isDryRun(request.query) ? prepared : world.store.put(resource, prepared);
  return { status: 201, text: jsonOf(stored), warnings };
}

/** What the client may set; everything else in `metadata` is the server's. */
function newMetadata(
  world: World,
  resource: Resource,
  given: JsonObject,
  name: string,
  generated: string | undefined,
): KubernetesObject['metadata'] {
  const { namespace, labels, annotations, ownerReferences, finalizers } = given as Partial<KubernetesObject['metadata']>;
  return makeMetadata({
    name,
    generateName: generated,
    namespace,
    uid: makeUid(world.random),
    generation: resource.hasGeneration ? 1 : undefined,
    creationTimestamp: timestamp(world.clock.wallMs()),
    labels,
    annotations,
    ownerReferences,
    finalizers,
  });
}

function generateName({ random }: World, prefix: string | undefined): string {
  if (prefix === undefined || prefix === '') return '';
  const suffix = Array.from({ length: 5 }, () => SUFFIX_ALPHABET[Math.floor(random.next() * SUFFIX_ALPHABET.length)]);
  return prefix.slice(0, GENERATED_NAME_MAX) + suffix.join('');
}

export function update(world: World, request: ApiRequest): ApiAnswer {
  const { resource, name } = request;
  const { body, warnings } = decode(resource, request.body, request.query);
  const metadata = decodeMetadata(resource, request.namespace, objectAt(body, 'metadata'));
  if (stringAt(metadata, 'name') !== name) {
    throw badRequest(`the name of the object (${stringAt(metadata, 'name') ?? ''}) does not match the name on the URL (${name})`);
  }
  const previous = existing(world, request);
  const next = { ...body, kind: resource.kind, apiVersion: apiVersionOf(resource), metadata } as unknown as KubernetesObject;
  return { status: 200, text: jsonOf(replace(world, request, previous, next)), warnings };
}

export function patch(world: World, request: ApiRequest): ApiAnswer {
  const { resource } = request;
  const previous = existing(world, request);
  const patched = applyPatch(request.contentType, previous, request.body);
  const { body, warnings } = decode(resource, patched, request.query);
  const metadata = decodeMetadata(resource, request.namespace, objectAt(body, 'metadata'));
  const next = { ...body, metadata } as unknown as KubernetesObject;
  return { status: 200, text: jsonOf(replace(world, request, previous, next)), warnings };
}

function existing({ store }: World, { resource, namespace, name }: ApiRequest): KubernetesObject {
  const found = store.get(resource, namespace, name);
  if (found === undefined) throw notFound(resource, name);
  return found;
}

function replace(world: World, request: ApiRequest, previous: KubernetesObject, given: KubernetesObject): KubernetesObject {
  const { resource, subresource } = request;
  const { name } = previous.metadata;
  const { resourceVersion, uid } = given.metadata;
  if (uid !== undefined && uid !== previous.metadata.uid) {
    throw conflict(resource, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${previous.metadata.uid}`);
  }
  if (resourceVersion !== undefined && resourceVersion !== previous.metadata.resourceVersion) throw modified(resource, name);
  const strategy = strategyOf(resource);
  const merged = withServerMetadata(previous, given);
  const next = subresource === 'status' ? strategy.prepareStatus(previous, merged) : strategy.prepareUpdate(previous, merged);
  const causes = [...checkMetadata(resource, { ...next.metadata })];
  if (subresource !== 'status') causes.push(...strategy.check(next), ...strategy.checkUpdate(previous, next));
  if (causes.length > 0) throw invalid(resource, name, causes);
  return write(world, request, previous, next);
}

/** Stores the next version, unless it is the same (W2) or a dry run (W3); what was only waiting for a finalizer goes. */
export function write(world: World, request: ApiRequest, previous: KubernetesObject, next: KubernetesObject): KubernetesObject {
  const { resource } = request;
  const isChanged = resource.hasGeneration && request.subresource === '' && differsInSpec(previous, next);
  const generation = isChanged ? (previous.metadata.generation ?? 0) + 1 : previous.metadata.generation;
  const counted = { ...next, metadata: makeMetadata({ ...next.metadata, generation }) };
  if (isDeepStrictEqual(previous, counted)) return previous;
  if (isDryRun(request.query)) return counted;
  return finishDeletion(world, resource, world.store.put(resource, counted));
}

/** The metadata of the next version: what the client may not change is as it was. */
function withServerMetadata(previous: KubernetesObject, given: KubernetesObject): KubernetesObject {
  const { labels, annotations, ownerReferences, finalizers } = given.metadata;
  return { ...given, metadata: makeMetadata({ ...previous.metadata, labels, annotations, ownerReferences, finalizers }) };
}

interface Body {
  readonly body: JsonObject;
  readonly warnings: readonly string[];
}

/** The body as an object of its kind, and what to warn the client of. */
function decode(resource: Resource, given: unknown, query: URLSearchParams): Body {
  if (!isObject(given))
    throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind}): ${JSON.stringify(given ?? '')}`);
  checkKind(resource, given);
  const validation = query.get('fieldValidation') ?? 'Warn';
  const { object, unknownFields } = decodeAs(resource, given, validation === 'Strict');
  const warnings = validation === 'Warn' ? unknownFields.map((field) => `unknown field ${JSON.stringify(field)}`) : [];
  const { status, metadata, ...rest } = object;
  const body = { ...rest, kind: resource.kind, apiVersion: apiVersionOf(resource), metadata, ...(status === undefined ? {} : { status }) };
  return { body, warnings };
}

/** The metadata of a body, in the namespace of the path. */
function decodeMetadata(resource: Resource, namespace: string, metadata: JsonObject): JsonObject {
  if (!resource.isNamespaced) return metadata;
  const named = stringAt(metadata, 'namespace') ?? '';
  if (named !== '' && named !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  return { ...metadata, namespace };
}

/** Stores a document as it is: made, or put in the place of the one of its name. */
export function put(world: World, resource: Resource, document: JsonObject): KubernetesObject {
  const given = objectAt(document, 'metadata');
  const namespace = resource.isNamespaced ? (stringAt(given, 'namespace') ?? 'default') : undefined;
  const name = stringAt(given, 'name') ?? '';
  const previous = world.store.get(resource, namespace, name);
  const metadata = previous?.metadata ?? newMetadata(world, resource, compact({ ...given, namespace }), name, undefined);
  const named = { ...document, kind: resource.kind, apiVersion: apiVersionOf(resource), metadata } as KubernetesObject;
  if (previous !== undefined) {
    const { labels, annotations, ownerReferences } = given as Partial<KubernetesObject['metadata']>;
    return world.store.put(resource, { ...named, metadata: makeMetadata({ ...metadata, labels, annotations, ownerReferences }) });
  }
  return world.store.put(resource, strategyOf(resource).prepareCreate(named));
}
