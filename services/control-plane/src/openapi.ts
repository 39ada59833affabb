// What a replica serves over HTTP, as an OpenAPI document. Parameters and bodies are what the schemas say that judge them.
import {
  adminRequestSchema,
  cancelRequestSchema,
  ERROR_CODES,
  LIMITS,
  MISS_REASONS,
  poolSchema,
  reservationRefsSchema,
  reserveRequestSchema,
} from '@muster/protocol';
import { z } from 'zod';
import { POSTS } from './http-reservations.ts';

type Json = Readonly<Record<string, unknown>>;

/** What each read is for, by its type; docs/reference/http.md says more. */
const READS: Readonly<Record<string, string>> = {
  status: 'The cluster in one object: replicas, shards with their owners, pools.',
  pools: 'Pools with their slots by state, waiters, what bounds them, hold, pause and breaker.',
  slots: 'Slots in order of their ids.',
  reservations: 'Live reservations, without tokens.',
  orgs: 'Orgs with their caps, and what they have and wait for in each pool.',
  hosts: 'Hosts with their memory budgets and workers.',
  intents: 'Decisions of the janitor, newest first, with the numbers that led to them.',
};

const BODIES: Readonly<Record<(typeof POSTS)[string], { readonly summary: string; readonly schema: z.ZodType }>> = {
  reserve: {
    summary: 'Reserves a worker; asked again with its request id it is the same reservation.',
    schema: reserveRequestSchema.extend({ pool: poolSchema }),
  },
  renew: { summary: 'Starts the leases of reservations anew.', schema: reservationRefsSchema },
  release: { summary: 'Gives reservations back.', schema: reservationRefsSchema },
  cancel: { summary: 'Ends a request, whatever has become of it.', schema: cancelRequestSchema },
};

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const json = (description: string, schema: Json): Json => ({ description, content: { 'application/json': { schema } } });
const failure = json('An error, with the HTTP status of its code.', ref('Error'));
const schemaOf = (schema: z.ZodType): Json => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
};

/** The document, for this version of Muster. */
export function openApi(version: string): Json {
  const reads = Object.entries(READS).map(([type, summary]): [string, Json] => [
    `/v1/${type}`,
    { get: { summary, parameters: parametersOf(type), responses: { 200: json('As asked.', ref('Answer')), default: failure } } },
  ]);
  const explain: Json = {
    get: {
      summary: 'Why it is so, in sentences.',
      parameters: parametersOf('explain'),
      responses: { 200: json('The sentences.', ref('Answer')), default: failure },
    },
  };
  const plain = (summary: string, type: string): Json => ({
    get: { summary, security: [], responses: { 200: { description: 'Yes.', content: { [type]: {} } }, 503: failure } },
  });
  const paths: Record<string, Json> = {
    '/healthz': plain('This process answers.', 'application/json'),
    '/readyz': plain('It follows the cluster at its current end and may be asked.', 'application/json'),
    '/metrics': {
      get: { summary: "Metrics in Prometheus' text format.", responses: { 200: { description: 'Metrics.' }, default: failure } },
    },
    '/v1/openapi.json': { get: { summary: 'This document.', responses: { 200: { description: 'It.' }, default: failure } } },
    ...Object.fromEntries(reads),
    '/v1/explain/{of}': explain,
  };
  for (const [path, what] of Object.entries(POSTS)) {
    const { summary, schema } = BODIES[what];
    const requestBody = { required: true, content: { 'application/json': { schema: schemaOf(schema) } } };
    const misses =
      what === 'reserve'
        ? Object.fromEntries([404, 429, 502, 503].map((status) => [status, json('A miss, or an error.', ref('Miss'))]))
        : {};
    const responses = { 200: json('Done.', ref('Answer')), ...misses, default: failure };
    paths[path] = { ...paths[path], post: { summary, description: 'Wants a token of the role write.', requestBody, responses } };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Muster', version, description: 'Keeps workers warm and hands one to a tenant.' },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Answer: { type: 'object', required: ['ok'], properties: { ok: { const: true } } },
        Error: {
          type: 'object',
          required: ['ok', 'error'],
          properties: {
            ok: { const: false },
            error: {
              type: 'object',
              required: ['code', 'message'],
              properties: {
                code: { enum: Object.keys(ERROR_CODES) },
                message: { type: 'string' },
                field: { type: 'string' },
                reason: { type: 'string' },
                retryAfterMs: { type: 'number' },
              },
            },
          },
        },
        Miss: {
          type: 'object',
          required: ['ok', 'miss'],
          properties: {
            ok: { const: false },
            miss: {
              type: 'object',
              required: ['reason', 'retryAfterMs'],
              properties: {
                reason: { enum: MISS_REASONS },
                retryAfterMs: { type: 'number', maximum: LIMITS.waitMsMax },
                position: { type: 'integer' },
                detail: { type: 'string' },
              },
            },
          },
        },
      },
    },
  };
}

/** In the URL: what the request of this type may say; `of` is a part of the path. */
function parametersOf(type: string): readonly Json[] {
  const option = adminRequestSchema.options.find(({ shape }) => shape.type.value === type);
  if (option === undefined) throw new Error(`there is no request ${type}`);
  return Object.entries(option.shape)
    .filter(([name]) => name !== 'type')
    .map(([name, schema]) => {
      const isPath = name === 'of';
      return { name, in: isPath ? 'path' : 'query', required: isPath, schema: schemaOf(schema as z.ZodType) };
    });
}
