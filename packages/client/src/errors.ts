import { ERROR_CODES, type ErrorAnswer, type ErrorCode, type Miss, MusterError } from '@muster/protocol';

/** A reserve found nothing: not a failure, but `reserve` has no worker to give. */
export class MissError extends Error {
  /** Why, and when to try again. */
  readonly miss: Miss;

  constructor(pool: string, miss: Miss) {
    super(
      `no worker of ${pool}: ${miss.reason}${miss.detail === undefined ? '' : ` (${miss.detail})`}; retry after ${miss.retryAfterMs} ms`,
    );
    this.name = 'MissError';
    this.miss = miss;
  }
}

/** The error of an answer as one that can be thrown. A code that this version does not know becomes `internal`. */
export function errorOf(error: ErrorAnswer['error']): MusterError {
  const code: ErrorCode = Object.hasOwn(ERROR_CODES, error.code) ? (error.code as ErrorCode) : 'internal';
  const message = error.reason === undefined ? error.message : `${error.message} (${error.reason})`;
  return new MusterError(code, message, error.field === undefined ? {} : { field: error.field });
}
