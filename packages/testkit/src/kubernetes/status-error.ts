// Failures as the API server words them. The words are part of the contract: some are told apart by them alone.
import type { JsonObject } from './object.ts';
import { qualifiedName, type Resource } from './resources.ts';

/** One field that is wrong. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

/** An answer that is a failure: HTTP status and body. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string | undefined;
  readonly details: JsonObject | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly metadata: JsonObject;

  constructor(
    code: number,
    reason: string | undefined,
    message: string,
    details?: JsonObject,
    headers: Readonly<Record<string, string>> = {},
    metadata: JsonObject = {},
  ) {
    super(message);
    this.metadata = metadata;
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.headers = headers;
  }

  /** The `Status` that a client gets. */
  get status(): JsonObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.metadata,
      status: 'Failure',
      message: this.message,
      ...(this.reason === undefined ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

type Named = Pick<Resource, 'group' | 'plural'>;

function detailsOf(resource: Named, name: string, more: JsonObject = {}): JsonObject {
  return {
    ...(name === '' ? {} : { name }),
    ...(resource.group === '' ? {} : { group: resource.group }),
    kind: resource.plural,
    ...more,
  };
}

export function notFound(resource: Named, name: string): StatusError {
  return new StatusError(404, 'NotFound', `${qualifiedName(resource)} "${name}" not found`, detailsOf(resource, name));
}

export function alreadyExists(resource: Named, name: string): StatusError {
  return new StatusError(409, 'AlreadyExists', `${qualifiedName(resource)} "${name}" already exists`, detailsOf(resource, name));
}

export function conflict(resource: Named, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualifiedName(resource)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', message, detailsOf(resource, name));
}

/** A write from an old version. */
export function modified(resource: Named, name: string): StatusError {
  return conflict(resource, name, 'the object has been modified; please apply your changes to the latest version and try again');
}

/** A precondition of a delete that does not hold: the one refusal that names the kind instead of the resource. */
export function preconditionFailed({ kind }: Resource, name: string, why: string): StatusError {
  return new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${kind} "${name}": ${why}`, { name, kind });
}

export function forbidden(resource: Named, name: string, why: string, causes?: readonly Cause[]): StatusError {
  const subject = name === '' ? qualifiedName(resource) : `${qualifiedName(resource)} "${name}"`;
  const more = causes === undefined ? {} : { causes };
  return new StatusError(403, 'Forbidden', `${subject} is forbidden: ${why}`, detailsOf(resource, name, more));
}

export function invalid({ group, kind }: Pick<Resource, 'group' | 'kind'>, name: string, causes: readonly Cause[]): StatusError {
  const all = causes.map(({ field, message }) => `${field}: ${message}`);
  const message = `${group === '' ? kind : `${kind}.${group}`} "${name}" is invalid: ${all.length === 1 ? all[0] : `[${all.join(', ')}]`}`;
  return new StatusError(422, 'Invalid', message, { name, ...(group === '' ? {} : { group }), kind, causes });
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized');
}

export function methodNotAllowed(): StatusError {
  return new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`;
  return new StatusError(415, 'UnsupportedMediaType', message);
}

export function tooLarge(limit: number): StatusError {
  return new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`);
}

/** The version is no longer kept. As an answer to a list it is HTTP 410, in a watch it is an event. */
export function expired(message: string): StatusError {
  return new StatusError(410, 'Expired', message);
}

/** The client knows a version that this server has not reached, as after a restore. */
export function tooLargeVersion(asked: number, current: number): StatusError {
  const cause = { reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' };
  const details = { causes: [cause], retryAfterSeconds: 1 };
  return new StatusError(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, details, {
    'retry-after': '1',
  });
}
