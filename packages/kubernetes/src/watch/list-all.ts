import type { ApiClient } from '../api/api-client.ts';

/** The part of an object that every kind has. */
export interface ApiObject {
  readonly metadata?: {
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

interface Page<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly T[];
}

export interface Listed<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

/** More than any cluster has pods; a server that never ends is not followed for ever. */
const PAGES_MAX = 1_000;

/**
 * Everything that the selector selects, page by page, as the server has it now (no `resourceVersion`: not from its cache).
 * @throws ApiFault; `expired` where the pages took so long that the server has forgotten their version
 */
export async function listAll<T extends ApiObject>(
  api: ApiClient,
  request: { readonly path: string; readonly selector: string; readonly pageSize: number; readonly timeoutMs: number },
): Promise<Listed<T>> {
  const items: T[] = [];
  let next: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { metadata, items: some = [] } = await api.call<Page<T>>({
      method: 'GET',
      path: request.path,
      timeoutMs: request.timeoutMs,
      query: {
        labelSelector: request.selector,
        limit: String(request.pageSize),
        ...(next === undefined ? {} : { continue: next }),
      },
    });
    items.push(...some);
    next = metadata?.continue;
    if (next === undefined || next === '') return { items, resourceVersion: metadata?.resourceVersion ?? '' };
  }
  throw new Error(`${request.path} has more than ${PAGES_MAX} pages`);
}
