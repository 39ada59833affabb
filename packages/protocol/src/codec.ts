import type { z } from 'zod';
import { kindOf, wordsOf } from './config/problem.ts';
import { MusterError } from './errors.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The largest request that a replica reads, bytes; what workers pass along (`activation`) is part of it. */
export const REQUEST_BYTES_MAX = 64 * 1024;

const IN_OUR_WORDS: z.core.ParseContext<z.core.$ZodIssue> = { error: (issue) => wordsOf(issue, kindOf) };

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
 * The value in the schema's shape; `name` is what the value itself is called, where it is not a message but one field of it.
 * @throws MusterError `bad-request` whose `field` is the path of the first problem
 */
export function parse<S extends z.ZodType>(schema: S, value: unknown, name?: string): z.output<S> {
  const result = schema.safeParse(value, IN_OUR_WORDS);
  if (result.success) return result.data;
  const { path, said } = problemOf(result.error.issues);
  const field = [...(name === undefined ? [] : [name]), ...path.map(String)].join('.');
  throw new MusterError('bad-request', field === '' ? said : `${field}: ${said}`, { field });
}

type Issues = readonly z.core.$ZodIssue[];

/** The first one; of what may be this or that, the first of the form that was nearest to fit. */
function problemOf([issue]: Issues): { readonly path: readonly PropertyKey[]; readonly said: string } {
  if (issue === undefined) return { path: [], said: 'is not valid' };
  if (issue.code === 'unrecognized_keys') return { path: [...issue.path, issue.keys[0] ?? ''], said: 'is not a known field' };
  const forms = issue.code === 'invalid_union' ? issue.errors : [];
  const nearest = forms.find((form) => !isOfAnotherKind(form)) ?? forms[0];
  if (nearest === undefined) return { path: issue.path, said: issue.message };
  const { path, said } = problemOf(nearest);
  return { path: [...issue.path, ...path], said };
}

/** Not even a list, or an object. */
function isOfAnotherKind([issue]: Issues): boolean {
  return issue?.code === 'invalid_type' && issue.path.length === 0;
}

/** What was sent, as it came; nothing is an empty object. @throws MusterError `payload-too-large`, `bad-request` */
export function decodeRequest(data: Uint8Array, bytesMax = REQUEST_BYTES_MAX): unknown {
  if (data.length > bytesMax) {
    throw new MusterError('payload-too-large', `the message has ${data.length} bytes, the limit is ${bytesMax}`);
  }
  return data.length === 0 ? {} : decode(data);
}

/** @throws MusterError `payload-too-large`, `bad-request` */
export function decodeAs<S extends z.ZodType>(schema: S, data: Uint8Array, bytesMax = REQUEST_BYTES_MAX): z.output<S> {
  return parse(schema, decodeRequest(data, bytesMax));
}
