// Reserving over HTTP: what the public subjects take, as POSTs.
//
//   R1. It wants a token of the role `write`, on the replica's own machine too: no page in a browser can have one.
//   R2. Whoever goes away while waiting has given up: a grant that comes afterwards is taken back, where its id was made here.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Requests } from '@muster/pool';
import { ownOf } from '@muster/domain';
import {
  decodeRequest,
  ERROR_CODES,
  type ErrorAnswer,
  type Miss,
  type MissReason,
  MusterError,
  type ReserveAnswer,
} from '@muster/protocol';
import { type HttpAccess, HttpRefusal } from './http-gate.ts';

/** What is answered, beside the JSON itself. */
export interface Posted {
  readonly value: unknown;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What takes POSTs. */
export const POSTS: Readonly<Record<string, 'reserve' | 'renew' | 'release' | 'cancel'>> = {
  '/v1/reservations': 'reserve',
  '/v1/reservations/renew': 'renew',
  '/v1/reservations/release': 'release',
  '/v1/reservations/cancel': 'cancel',
};

/** A miss is no error of the request: what HTTP calls it says whether asking again helps. */
const MISS_STATUS: Readonly<Record<MissReason, number>> = {
  'warm-capacity-exhausted': 503,
  'org-cap': 429,
  'pool-cap': 503,
  'pool-unknown': 404,
  'pool-paused': 503,
  'spawn-failing': 503,
  overloaded: 429,
  'shutting-down': 503,
  'activation-failed': 502,
};

/** @throws HttpRefusal where there is no token that could be shown; one that was is checked already (http-gate.ts) */
export function assertMayPost(access: HttpAccess): void {
  if (access.tokens.length > 0) return;
  throw new HttpRefusal('reserving over HTTP wants a token of the role write: name some with MUSTER_HTTP_TOKENS_FILE', 403);
}

/** @throws MusterError with the code of the table */
export async function post(
  requests: Requests,
  what: (typeof POSTS)[string],
  message: { readonly request: IncomingMessage; readonly response: ServerResponse; readonly body: Promise<Uint8Array> },
): Promise<Posted> {
  const { request, response, body } = message;
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    throw new MusterError('bad-request', 'Content-Type: must be application/json', { field: 'Content-Type' });
  }
  const given = decodeRequest(await body);
  const answer = what === 'reserve' ? await reserve(requests, given, request, response) : await requests[what](given);
  return postedOf(answer as ReserveAnswer | ErrorAnswer);
}

async function reserve(requests: Requests, given: unknown, request: IncomingMessage, response: ServerResponse): Promise<ReserveAnswer> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new MusterError('bad-request', 'must be a map');
  const { pool, ...rest } = given as Readonly<Record<string, unknown>>;
  if (pool === undefined) throw new MusterError('bad-request', 'pool: is missing', { field: 'pool' });
  // It is quiet for as long as it waits, which is bounded by itself.
  request.socket.setTimeout(0);
  return requests.reserve(pool as string, rest, () => !response.destroyed);
}

function postedOf(answer: ReserveAnswer | ErrorAnswer): Posted {
  if (answer.ok) return { value: answer, status: 200 };
  if ('miss' in answer) return { value: answer, status: MISS_STATUS[answer.miss.reason], ...retryAfter(answer.miss) };
  return { value: answer, status: ownOf(ERROR_CODES, answer.error.code)?.http ?? 500 };
}

function retryAfter({ retryAfterMs }: Miss): Pick<Posted, 'headers'> {
  return { headers: { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) } };
}
