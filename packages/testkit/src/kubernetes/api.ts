// From a request whose sender is known to its answer. No HTTP in here: what a request is judged by is what it asks.
import type { Attributes } from './authorization.ts';
import { authorize, isAllowed, refusal } from './authorization.ts';
import { deleteAll, deleteOne } from './deletes.ts';
import { compact, objectAt } from './object.ts';
import { get, list, listText, selected } from './reads.ts';
import type { Review } from './routes.ts';
import { methodNotAllowed, StatusError } from './status-error.ts';
import { bind, finalizeNamespace, requestToken, reviewedAttributes } from './subresources.ts';
import type { ApiAnswer, ApiRequest, User, World } from './world.ts';
import { create, patch, update } from './writes.ts';

export interface ApiOptions {
  /** Makes a token for a service account, and remembers whose it is. */
  readonly issueToken: (namespace: string, name: string) => string;
}

/** @throws StatusError 403 */
export function authorizeRequest(world: World, user: User, { verb, resource, subresource, namespace, name }: ApiRequest): void {
  const attributes: Attributes = { verb, group: resource.group, resource: resource.plural, subresource, namespace, name };
  authorize(world.store, user, resource, attributes);
}

/** Everything but watches. @throws StatusError */
export function answer(world: World, request: ApiRequest, options: ApiOptions, staleRevision?: number): ApiAnswer {
  const { verb, subresource, resource } = request;
  if (subresource !== '') return answerSubresource(world, request, options);
  switch (verb) {
    case 'get':
      return get(world, request);
    case 'list':
      return list(world, request, staleRevision);
    case 'create':
      if (request.name !== '') throw methodNotAllowed();
      return create(world, request);
    case 'update':
      return update(world, request);
    case 'patch':
      return patch(world, request);
    case 'delete':
      return deleteOne(world, request);
    case 'deletecollection': {
      if (resource.plural === 'namespaces') throw methodNotAllowed();
      const objects = selected(world, request);
      deleteAll(world, request, objects);
      return { status: 200, text: listText(request, world.store.revision, objects, 0) };
    }
    case 'watch':
      throw new Error('a watch is a stream, not an answer');
  }
}

function answerSubresource(world: World, request: ApiRequest, options: ApiOptions): ApiAnswer {
  const { verb, subresource, resource } = request;
  if (subresource === 'status' && resource.hasStatus) {
    if (verb === 'get') return get(world, request);
    if (verb === 'update') return update(world, request);
    if (verb === 'patch') return patch(world, request);
  }
  if (verb === 'create' && resource.plural === 'pods' && subresource === 'binding') return bind(world, request);
  if (verb === 'create' && resource.plural === 'serviceaccounts' && subresource === 'token')
    return requestToken(world, request, options.issueToken);
  if (verb === 'update' && resource.plural === 'namespaces' && subresource === 'finalize') return finalizeNamespace(world, request);
  throw new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
}

/** What the one who asks may do, or who they are. */
export function answerReview(world: World, user: User, review: Review, body: unknown): ApiAnswer {
  const spec = objectAt(body, 'spec');
  const apiVersion = `${review.group}/v1`;
  const base = { kind: review.kind, apiVersion, metadata: {} };
  if (review.kind === 'SelfSubjectReview') {
    const status = { userInfo: { username: user.name, groups: user.groups } };
    return { status: 201, text: JSON.stringify({ ...base, status }) };
  }
  const asked = reviewedAttributes(body);
  const allowed = 'path' in asked ? user.groups.includes('system:masters') : isAllowed(world.store, user, asked.resource);
  const reason = allowed || 'path' in asked ? undefined : refusal(user, asked.resource);
  return { status: 201, text: JSON.stringify({ ...base, spec, status: compact({ allowed, reason }) }) };
}
