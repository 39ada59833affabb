// Get and list. A list in pages shows one revision, however much is written between the pages.
import { itemJsonOf, jsonOf, type KubernetesObject, keyOf } from './object.ts';
import { apiVersionOf } from './resources.ts';
import { parseFieldSelector, parseLabelSelector, type Selector } from './selectors.ts';
import { badRequest, expired, notFound, StatusError, tooLargeVersion } from './status-error.ts';
import type { ApiAnswer, ApiRequest, World } from './world.ts';

const TOKEN_VERSION = 'meta.k8s.io/v1';
/** In a token: go on with what is there now. */
const ANY_REVISION = -1;

export function get({ store }: World, { resource, namespace, name }: ApiRequest): ApiAnswer {
  const found = store.get(resource, namespace, name);
  if (found === undefined) throw notFound(resource, name);
  return { status: 200, text: jsonOf(found) };
}

/** The objects that the request's selectors and namespace mean, now. */
export function selected(world: World, request: ApiRequest): readonly KubernetesObject[] {
  return world.store.list(request.resource, request.namespace || undefined).filter(selectorOf(request));
}

export function selectorOf({ query, resource }: ApiRequest): Selector {
  const byLabels = parseLabelSelector(query.get('labelSelector') ?? '');
  const byFields = parseFieldSelector(query.get('fieldSelector') ?? '', resource);
  return (object) => byLabels(object) && byFields(object);
}

/** @throws StatusError 400, or 500 as the server has it for a version that is no number */
export function parseRevision(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new StatusError(
    500,
    undefined,
    `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
  );
}

/** A page of a list; as of an older revision where `staleRevision` says so and the request lets the server choose. */
export function list(world: World, request: ApiRequest, staleRevision?: number): ApiAnswer {
  const { query, resource } = request;
  const selector = selectorOf(request);
  const token = query.get('continue') ?? '';
  const page = token === '' ? firstPage(world, request, staleRevision) : nextPage(world, request, token);
  const rest = page.objects.filter((object) => keyOf(resource, object) >= page.start && selector(object));
  const limit = page.isLimited ? Number(query.get('limit') ?? 0) : 0;
  const items = limit > 0 ? rest.slice(0, limit) : rest;
  const text = listText(request, page.revision, items, rest.length - items.length);
  return { status: 200, text };
}

/** The answer with these items; `remaining` more are left for further pages. */
export function listText(request: ApiRequest, revision: number, items: readonly KubernetesObject[], remaining: number): string {
  const { query, resource } = request;
  const last = items.at(-1);
  const hasSelector = (query.get('labelSelector') ?? '') !== '' || (query.get('fieldSelector') ?? '') !== '';
  const metadata = {
    resourceVersion: String(revision),
    ...(remaining > 0 && last !== undefined ? { continue: makeToken(revision, keyIn(request, last)) } : {}),
    ...(remaining > 0 && !hasSelector ? { remainingItemCount: remaining } : {}),
  };
  const head = JSON.stringify({ kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata });
  return `${head.slice(0, -1)},"items":[${items.map(itemJsonOf).join(',')}]}`;
}

interface Page {
  readonly objects: readonly KubernetesObject[];
  readonly revision: number;
  readonly start: string;
  readonly isLimited: boolean;
}

function firstPage({ store }: World, { query, resource, namespace }: ApiRequest, staleRevision: number | undefined): Page {
  const asked = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch');
  const revision = asked === '' ? 0 : parseRevision(asked);
  if (revision > store.revision) throw tooLargeVersion(revision, store.revision);
  const isExact = match === 'Exact' && revision > 0;
  const at = isExact ? revision : Math.max(revision, Math.min(staleRevision ?? store.revision, store.revision));
  const objects = store.listAt(resource, namespace || undefined, at);
  if (objects === undefined) throw expired('The resourceVersion for the provided list is too old.');
  // Version 0 is answered from the watch cache, which gives all at once.
  return { objects, revision: at, start: '', isLimited: asked !== '0' };
}

function nextPage({ store }: World, request: ApiRequest, token: string): Page {
  const { revision, start } = parseToken(request, token);
  if (revision === ANY_REVISION) {
    return { objects: store.list(request.resource, request.namespace || undefined), revision: store.revision, start, isLimited: true };
  }
  const objects = store.listAt(request.resource, request.namespace || undefined, revision);
  if (objects !== undefined) return { objects, revision, start, isLimited: true };
  const message =
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.';
  throw new StatusError(
    410,
    'Expired',
    message,
    undefined,
    {},
    { continue: encodeToken(ANY_REVISION, start.slice(prefixOf(request).length)) },
  );
}

/** In a list of one namespace the keys of a token leave the namespace out. */
function prefixOf({ resource, namespace }: ApiRequest): string {
  return resource.isNamespaced && namespace !== '' ? `${namespace}/` : '';
}

function keyIn(request: ApiRequest, object: KubernetesObject): string {
  return keyOf(request.resource, object).slice(prefixOf(request).length);
}

function makeToken(revision: number, lastKey: string): string {
  return encodeToken(revision, `${lastKey}\u0000`);
}

function encodeToken(revision: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: TOKEN_VERSION, rv: revision, start: `/${start}` })).toString('base64url');
}

function parseToken(request: ApiRequest, token: string): { readonly revision: number; readonly start: string } {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { v: unknown; rv: unknown; start: unknown };
    if (v === TOKEN_VERSION && typeof rv === 'number' && typeof start === 'string') {
      return { revision: rv, start: prefixOf(request) + start.slice(1) };
    }
  } catch {
    // Not one of ours; said below.
  }
  throw badRequest('continue key is not valid: encoded start key is not valid');
}
