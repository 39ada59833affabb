// What is done to an object by way of a path below it.

import { finishDeletion } from './deletes.ts';
import { compact, isObject, jsonOf, type KubernetesObject, listAt, objectAt, stringAt, timestamp } from './object.ts';
import { withCondition } from './pods/status.ts';
import { badRequest, conflict, notFound, StatusError } from './status-error.ts';
import { type ApiAnswer, type ApiRequest, isDryRun, type World } from './world.ts';

/** `POST pods/x/binding`: the scheduler gives the pod its node. */
export function bind(world: World, request: ApiRequest): ApiAnswer {
  const { resource, namespace, name } = request;
  const pod = world.store.get(resource, namespace, name);
  const node = stringAt(request.body, 'target', 'name');
  if (node === undefined || node === '') throw badRequest('Binding "" is invalid: target.name: Required value');
  if (pod === undefined) throw notFound(resource, name);
  const bindings = { group: '', plural: 'pods/binding' };
  if (pod.metadata.deletionTimestamp !== undefined)
    throw conflict(bindings, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  const present = stringAt(pod, 'spec', 'nodeName') ?? '';
  if (present !== '') throw conflict(bindings, name, `pod ${name} is already assigned to node "${present}"`);
  const status = objectAt(pod, 'status');
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: timestamp(world.clock.wallMs()) };
  const { phase, ...rest } = status;
  const bound: KubernetesObject = {
    ...pod,
    spec: { ...objectAt(pod, 'spec'), nodeName: node },
    status: { phase, ...rest, conditions: withCondition(listAt(status, 'conditions'), scheduled) },
  };
  if (!isDryRun(request.query)) world.store.put(resource, bound);
  return { status: 201, text: JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }) };
}

/** `PUT namespaces/x/finalize`: whoever emptied it says so. */
export function finalizeNamespace(world: World, request: ApiRequest): ApiAnswer {
  const { resource, name } = request;
  const found = world.store.get(resource, undefined, name);
  if (found === undefined) throw notFound(resource, name);
  const finalizers = listAt(request.body, 'spec', 'finalizers');
  const next = { ...found, spec: compact({ ...objectAt(found, 'spec'), finalizers: finalizers.length === 0 ? undefined : finalizers }) };
  return { status: 200, text: jsonOf(finishDeletion(world, resource, world.store.put(resource, next))) };
}

const TOKEN_SECONDS = 3600;
const TOKEN_SECONDS_MIN = 600;

/** `POST serviceaccounts/x/token`. */
export function requestToken(world: World, request: ApiRequest, issue: (namespace: string, name: string) => string): ApiAnswer {
  const { resource, namespace, name } = request;
  if (world.store.get(resource, namespace, name) === undefined) throw notFound(resource, name);
  const wanted = objectAt(request.body, 'spec')['expirationSeconds'];
  const seconds = typeof wanted === 'number' ? wanted : TOKEN_SECONDS;
  if (seconds < TOKEN_SECONDS_MIN) {
    throw new StatusError(
      422,
      'Invalid',
      `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: ${seconds}: may not specify a duration less than 10 minutes`,
    );
  }
  const audiences = listAt(request.body, 'spec', 'audiences');
  const answer = {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: timestamp(world.clock.wallMs()) },
    spec: {
      audiences: audiences.length === 0 ? ['https://kubernetes.default.svc'] : audiences,
      expirationSeconds: seconds,
      boundObjectRef: null,
    },
    status: { token: issue(namespace, name), expirationTimestamp: timestamp(world.clock.wallMs() + seconds * 1000) },
  };
  return { status: 201, text: JSON.stringify(answer) };
}

/** The attributes that a SelfSubjectAccessReview asks about. */
export function reviewedAttributes(
  body: unknown,
):
  | { readonly path: string; readonly verb: string }
  | { readonly resource: Record<'verb' | 'group' | 'resource' | 'subresource' | 'namespace' | 'name', string> } {
  const spec = objectAt(body, 'spec');
  const path = spec['nonResourceAttributes'];
  if (isObject(path)) return { path: stringAt(path, 'path') ?? '', verb: stringAt(path, 'verb') ?? '' };
  const asked = spec['resourceAttributes'];
  if (!isObject(asked))
    throw badRequest('SelfSubjectAccessReview: exactly one of resourceAttributes and nonResourceAttributes is required');
  const text = (field: string): string => stringAt(asked, field) ?? '';
  return {
    resource: {
      verb: text('verb'),
      group: text('group'),
      resource: text('resource'),
      subresource: text('subresource'),
      namespace: text('namespace'),
      name: text('name'),
    },
  };
}
