import { isMusterError } from '@muster/protocol';
import { TooManyQueries } from './admission.ts';
import { Interrupted, type InterruptReason } from './interruption.ts';
import { StatementFailed } from './session.ts';

/** What `POST /query` answers instead of rows, by code (README.md lists them). */
export const HTTP_STATUS = {
  'bad-request': 400,
  'sql-error': 400,
  unauthorized: 401,
  'not-found': 404,
  'method-not-allowed': 405,
  'not-active': 409,
  ended: 410,
  'payload-too-large': 413,
  overloaded: 429,
  'database-failed': 500,
  internal: 500,
  'shutting-down': 503,
  timeout: 504,
} as const;

export type HttpCode = keyof typeof HTTP_STATUS;

/** An answer other than rows. */
export class HttpError extends Error {
  readonly code: HttpCode;
  readonly field: string | undefined;

  constructor(code: HttpCode, message: string, options: { readonly field?: string | undefined; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HttpError';
    this.code = code;
    this.field = options.field;
  }

  get status(): number {
    return HTTP_STATUS[this.code];
  }

  get body(): string {
    const { code, message, field } = this;
    return JSON.stringify({ ok: false, error: field === undefined ? { code, message } : { code, message, field } });
  }
}

const INTERRUPTED: Record<InterruptReason, readonly [HttpCode, string]> = {
  timeout: ['timeout', 'the statement took longer than it may'],
  gone: ['internal', 'the caller hung up'],
  ended: ['ended', 'the reservation ended while the statement ran'],
  drained: ['shutting-down', 'the worker went away while the statement ran'],
};

/** What is answered for an error of whatever kind. `internal` stands for a defect: its words stay in the log. */
export function toHttpError(cause: unknown): HttpError {
  if (cause instanceof HttpError) return cause;
  if (cause instanceof StatementFailed) return new HttpError(cause.isFatal ? 'database-failed' : 'sql-error', cause.message, { cause });
  if (cause instanceof Interrupted) return new HttpError(...INTERRUPTED[cause.reason], { cause });
  if (cause instanceof TooManyQueries) return new HttpError('overloaded', cause.message, { cause });
  if (isMusterError(cause, 'payload-too-large')) return new HttpError('payload-too-large', cause.message, { cause });
  if (isMusterError(cause, 'bad-request')) return new HttpError('bad-request', cause.message, { cause, field: cause.field });
  return new HttpError('internal', 'the worker failed; its log has the rest', { cause });
}
