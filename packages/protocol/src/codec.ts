import type { z } from 'zod';
import { MusterError } from './errors.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The largest request that a replica reads, bytes; what workers pass along (`activation`) is part of it. */
export const REQUEST_BYTES_MAX = 64 * 1024;

/** JSON as bytes. A Buffer is cut from a slab: a TextEncoder makes a buffer of its own for each message, at several times the cost. */
export function encode(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** @throws MusterError `bad-request` when it is not JSON in UTF-8 */
export function decode(data: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(data));
  } catch (cause) {
    throw new MusterError('bad-request', 'the message is not JSON', { cause });
  }
}

/**
 * The value in the schema's shape.
 * @throws MusterError `bad-request` whose `field` is the path of the first problem
 */
export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : (issue?.path ?? []);
  const field = path.map(String).join('.');
  const said = issue?.code === 'unrecognized_keys' ? 'is not a known field' : (issue?.message ?? 'is not valid');
  throw new MusterError('bad-request', field === '' ? said : `${field}: ${said}`, { field });
}

/** @throws MusterError `payload-too-large`, `bad-request` */
export function decodeAs<S extends z.ZodType>(schema: S, data: Uint8Array, bytesMax = REQUEST_BYTES_MAX): z.output<S> {
  if (data.length > bytesMax) {
    throw new MusterError('payload-too-large', `the message has ${data.length} bytes, the limit is ${bytesMax}`);
  }
  return parse(schema, data.length === 0 ? {} : decode(data));
}
