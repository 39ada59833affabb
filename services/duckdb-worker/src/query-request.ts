import type { IncomingMessage } from 'node:http';
import { parse } from '@muster/protocol';
import { z } from 'zod';
import { HttpError } from './http-errors.ts';
import { type Parameters, parseJsonExactly } from './parameters.ts';

// What is in `params` came out of a JSON text, so it is of the type `Parameter` however deep.
const isParameters = (value: unknown): value is Parameters => typeof value === 'object' && value !== null;

const bodySchema = z.strictObject({
  // DuckDB reads a statement up to its first NUL, and would run half of it.
  sql: z
    .string()
    .min(1)
    .refine((sql) => !sql.includes('\0'), 'may not have the character NUL'),
  /** For `?` and `$1` a list, for `$name` an object. */
  params: z.custom<Parameters>(isParameters, 'must be a list or an object').optional(),
  /** Shorter than the worker's own. */
  timeoutMs: z.number().int().min(1).optional(),
});

/** The body of `POST /query`. */
export type QueryRequest = z.infer<typeof bodySchema>;

/**
 * Reads the body of a request.
 * @throws HttpError `bad-request`, `payload-too-large`; MusterError `bad-request` that names the field
 */
export async function readQueryRequest(request: IncomingMessage, bytesMax: number): Promise<QueryRequest> {
  const text = await readBody(request, bytesMax);
  let body: unknown;
  try {
    body = parseJsonExactly(text);
  } catch (cause) {
    throw new HttpError('bad-request', 'the body is not JSON', { cause });
  }
  return parse(bodySchema, body);
}

async function readBody(request: IncomingMessage, bytesMax: number): Promise<string> {
  const tooLarge = () => new HttpError('payload-too-large', `the body has more than ${bytesMax} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bytesMax) throw tooLarge();
    parts.push(part);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch (cause) {
    throw new HttpError('bad-request', 'the body is not UTF-8', { cause });
  }
}
