// What a method and a path ask for.
import { findResource, type Resource } from './resources.ts';
import { nameInFieldSelector } from './selectors.ts';
import type { Verb } from './world.ts';

/** A resource that is made by asking and never stored: a review of rights. */
export interface Review {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

/** Every one that the double answers. */
export const REVIEWS: readonly Review[] = [
  { group: 'authorization.k8s.io', plural: 'selfsubjectaccessreviews', kind: 'SelfSubjectAccessReview' },
  { group: 'authentication.k8s.io', plural: 'selfsubjectreviews', kind: 'SelfSubjectReview' },
];

export type Route =
  | {
      readonly kind: 'object';
      readonly resource: Resource;
      readonly verb: Verb | undefined;
      readonly namespace: string;
      readonly name: string;
      readonly subresource: string;
    }
  | { readonly kind: 'review'; readonly review: Review }
  | { readonly kind: 'path' };

export function parseRoute(method: string, path: string, query: URLSearchParams): Route {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const isCore = parts[0] === 'api';
  const [group = '', version = ''] = isCore ? ['', parts[1]] : parts[0] === 'apis' ? parts.slice(1, 3) : [];
  const rest = parts.slice(isCore ? 2 : 3);
  if (version === '' || rest.length === 0) return { kind: 'path' };
  const review = REVIEWS.find((one) => one.group === group && one.plural === rest[0] && version === 'v1');
  if (review !== undefined && rest.length === 1) return { kind: 'review', review };
  const isInNamespace = rest[0] === 'namespaces' && rest.length > 2 && !['status', 'finalize'].includes(rest[2] ?? '');
  const namespace = isInNamespace ? (rest[1] ?? '') : '';
  const [plural = '', inPath = '', subresource = '', ...more] = isInNamespace ? rest.slice(2) : rest;
  const resource = findResource(group, version, plural);
  if (resource === undefined || more.length > 0 || (!resource.isNamespaced && isInNamespace)) return { kind: 'path' };
  if (resource.isNamespaced && namespace === '' && inPath !== '') return { kind: 'path' };
  const verb = verbOf(method, inPath, query);
  const isCollection = verb === 'list' || verb === 'watch' || verb === 'deletecollection';
  const name = isCollection ? (nameInFieldSelector(query.get('fieldSelector') ?? '') ?? '') : inPath;
  return { kind: 'object', resource, verb, namespace, name, subresource };
}

function verbOf(method: string, name: string, query: URLSearchParams): Verb | undefined {
  switch (method) {
    case 'GET':
      if (['true', '1'].includes(query.get('watch') ?? '')) return 'watch';
      return name === '' ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return name === '' ? undefined : 'update';
    case 'PATCH':
      return name === '' ? undefined : 'patch';
    case 'DELETE':
      return name === '' ? 'deletecollection' : 'delete';
    default:
      return undefined;
  }
}
