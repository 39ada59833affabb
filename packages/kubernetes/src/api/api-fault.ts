// What an answer of the API server means. The one place where its words are matched.
import { MusterError } from '@muster/protocol';

/**
 * `exists` (409 of a create), `conflict` (409: a precondition, or two writes at once), `absent` (404), `quota` and `forbidden`
 * (403; the message alone tells them apart), `unauthenticated` (401), `invalid` (400, 422), `expired` (410), `throttled` (429:
 * certainly not done), `server-error` (5xx: may have been done), `unreachable` (no answer: may have been done).
 */
export type FaultKind =
  | 'exists'
  | 'conflict'
  | 'absent'
  | 'quota'
  | 'forbidden'
  | 'unauthenticated'
  | 'invalid'
  | 'expired'
  | 'throttled'
  | 'server-error'
  | 'unreachable';

/** An answer that is no success, or none. */
export class ApiFault extends Error {
  readonly kind: FaultKind;
  /** 0: no answer. */
  readonly status: number;
  /** How long the server wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: FaultKind,
    status: number,
    message: string,
    options: { readonly retryAfterMs?: number; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ApiFault';
    this.kind = kind;
    this.status = status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** True for an `ApiFault` of one of these kinds. */
export function isFault(error: unknown, ...kinds: readonly FaultKind[]): error is ApiFault {
  return error instanceof ApiFault && kinds.includes(error.kind);
}

interface StatusBody {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly retryAfterSeconds?: number };
}

const RETRY_AFTER_MAX_MS = 60_000;
const WORDS_MAX = 500;

/** Reads an answer; its body is a `Status`, or for 429 and proxies any text. */
export function faultOf(status: number, headers: Readonly<Record<string, string | string[] | undefined>>, text: string): ApiFault {
  const body = parseStatus(text);
  const message = body?.message ?? `HTTP ${status}: ${text.trim().slice(0, WORDS_MAX)}`;
  const seconds = Number(headers['retry-after'] ?? body?.details?.retryAfterSeconds);
  const retryAfterMs = Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1_000, RETRY_AFTER_MAX_MS) : undefined;
  return new ApiFault(kindOf(status, body), status, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}

/** Reads the `Status` of a watch's ERROR event, whose HTTP status was 200. */
export function faultOfStatus(object: unknown): ApiFault {
  const body = typeof object === 'object' && object !== null ? (object as StatusBody) : {};
  return faultOf(body.code ?? 500, {}, JSON.stringify(body));
}

function kindOf(status: number, body: StatusBody | undefined): FaultKind {
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return 'invalid';
    case 401:
      return 'unauthenticated';
    case 403:
      return /exceeded quota|status unknown for quota/.test(body?.message ?? '') ? 'quota' : 'forbidden';
    case 404:
      return 'absent';
    case 409:
      return body?.reason === 'AlreadyExists' ? 'exists' : 'conflict';
    case 410:
      return 'expired';
    case 429:
      return 'throttled';
    default:
      return 'server-error';
  }
}

function parseStatus(text: string): StatusBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? body : undefined;
  } catch {
    return undefined;
  }
}

/** A fault as the port has it: whoever called may call again. */
export function unavailable(what: string, cause: unknown): MusterError {
  return new MusterError('driver-unavailable', `Kubernetes ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}
