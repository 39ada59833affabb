import type { Clock, Random } from '@muster/ports';
import type { JsonObject } from './object.ts';
import type { Resource } from './resources.ts';
import type { Store } from './store.ts';

/** Who asks. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

/** What every request is decided with. */
export interface World {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** The garbage collector, the namespace and the quota controller run. */
  readonly hasControllers: boolean;
  /** A pod needs a service account that is there (admission ServiceAccount). */
  readonly hasServiceAccounts: boolean;
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** A request for an object or a collection, as it was read from method, path, query and body. */
export interface ApiRequest {
  readonly verb: Verb;
  readonly resource: Resource;
  readonly subresource: string;
  /** Empty for the whole cluster. */
  readonly namespace: string;
  /** Empty for a collection. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  /** Undefined where there was none. */
  readonly body: unknown;
}

/** Status and body of an answer that is not a stream. */
export interface ApiAnswer {
  readonly status: number;
  /** JSON. */
  readonly text: string;
  /** What the client should hear of although it was done. */
  readonly warnings?: readonly string[];
}

export function isDryRun(query: URLSearchParams, body?: JsonObject): boolean {
  return query.getAll('dryRun').includes('All') || (Array.isArray(body?.['dryRun']) && body['dryRun'].includes('All'));
}
