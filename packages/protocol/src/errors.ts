/** What every error code means; the one table (docs/reference/errors.md is held to it by a test). */
export const ERROR_CODES = {
  'bad-request': {
    retryable: false,
    http: 400,
    meaning: 'The message is not JSON, has an unknown or missing field, or a value outside its limits; `field` names it.',
  },
  'not-found': { retryable: false, http: 404, meaning: 'There is no such pool, slot, reservation, host or subject.' },
  conflict: {
    retryable: false,
    http: 409,
    meaning: 'The change contradicts what is there, as a configuration that removes what cannot be removed.',
  },
  'stale-epoch': {
    retryable: false,
    http: 409,
    meaning: 'The reservation has ended or its slot has gone on: the epoch is not the current one.',
  },
  ended: {
    retryable: false,
    http: 410,
    meaning: 'The request id belongs to a reservation that has ended; `reason` says how. Ask with a new id.',
  },
  'payload-too-large': { retryable: false, http: 413, meaning: 'The message is larger than the limit.' },
  unauthorized: { retryable: false, http: 401, meaning: 'The token or the credentials are missing or wrong, or do not permit this.' },
  refused: { retryable: false, http: 409, meaning: 'A worker refused a command: older than what it has seen, or for another org.' },
  overloaded: { retryable: true, http: 429, meaning: 'A bounded queue is full; try again after `retryAfterMs`.' },
  'shutting-down': { retryable: true, http: 503, meaning: 'The replica is stopping; another one will answer.' },
  'retry-elsewhere': {
    retryable: true,
    http: 503,
    meaning: 'The shard has moved; the outcome is unknown: ask again with the same request id.',
  },
  'no-responders': { retryable: true, http: 503, meaning: 'Nobody listens on the subject: it was not delivered.' },
  timeout: { retryable: true, http: 504, meaning: 'No answer in time: the outcome is unknown.' },
  disconnected: { retryable: true, http: 503, meaning: 'The link to NATS is down: the outcome is unknown.' },
  'journal-unavailable': {
    retryable: true,
    http: 503,
    meaning: 'JetStream did not answer a read or a write that is not part of the chain.',
  },
  'journal-damaged': {
    retryable: false,
    http: 500,
    meaning: 'A record of a journal cannot be read; the shard is stopped at its sequence.',
  },
  'driver-unavailable': { retryable: true, http: 503, meaning: 'The driver could not reach what starts workers: the outcome is unknown.' },
  'unsafe-server': {
    retryable: false,
    http: 500,
    meaning: 'The NATS server or stream cannot give what the guarantees need; the message says what.',
  },
  closed: { retryable: false, http: 500, meaning: 'The object was closed.' },
  internal: { retryable: false, http: 500, meaning: 'A defect of Muster; the log has the rest.' },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** A failure of the outside, or bad input. A refusal is data instead (see `Miss`). */
export class MusterError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  /** The field that is wrong, as a path: `pools.duckdb.floor`. */
  readonly field: string | undefined;

  constructor(code: ErrorCode, message: string, options: { readonly field?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MusterError';
    this.code = code;
    this.retryable = ERROR_CODES[code].retryable;
    this.field = options.field;
  }
}

/** True for a MusterError of this code. */
export function isMusterError(error: unknown, code?: ErrorCode): error is MusterError {
  return error instanceof MusterError && (code === undefined || error.code === code);
}
