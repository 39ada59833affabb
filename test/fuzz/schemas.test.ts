// Every schema of the wire against messages that nobody should send: taken, or refused by the field, and nothing else.
import {
  adminRequestSchema,
  cancelRequestSchema,
  cutSchema,
  decodeAs,
  helloAnswerSchema,
  hostAnswerSchema,
  hostBeatSchema,
  hostCommandSchema,
  hostWorkerSchema,
  isMusterError,
  janitorCommandSchema,
  reservationRefsSchema,
  reserveRequestSchema,
  shardCommandSchema,
  workerAnswerSchema,
  workerBeatSchema,
  workerCommandSchema,
} from '@muster/protocol';

import * as protocol from '@muster/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hostile, threadCpuMs } from './hostile.ts';
import { GOOD } from './messages.ts';

const SCHEMAS: Readonly<Record<string, readonly [schema: Parameters<typeof decodeAs>[0], good: readonly unknown[]]>> = {
  adminRequestSchema: [adminRequestSchema, GOOD.admin],
  cancelRequestSchema: [cancelRequestSchema, GOOD.cancel],
  cutSchema: [cutSchema, GOOD.cut],
  helloAnswerSchema: [helloAnswerSchema, GOOD.helloAnswer],
  hostAnswerSchema: [hostAnswerSchema, GOOD.hostAnswer],
  hostBeatSchema: [hostBeatSchema, GOOD.hostBeat],
  hostCommandSchema: [hostCommandSchema, GOOD.hostCommand],
  hostWorkerSchema: [hostWorkerSchema, GOOD.hostWorker],
  janitorCommandSchema: [janitorCommandSchema, GOOD.janitor],
  reservationRefsSchema: [reservationRefsSchema, GOOD.refs],
  reserveRequestSchema: [reserveRequestSchema, GOOD.reserve],
  shardCommandSchema: [shardCommandSchema, GOOD.shard],
  workerAnswerSchema: [workerAnswerSchema, GOOD.workerAnswer],
  workerBeatSchema: [workerBeatSchema, GOOD.beat],
  workerCommandSchema: [workerCommandSchema, GOOD.workerCommand],
};
/** Parts of others, and what is read at a door of its own. */
const ELSEWHERE = ['idSchema', 'orgSchema', 'poolSchema', 'reservationRefSchema'];
const SLOW_CPU_MS = 500;

test('no schema of the protocol is left out', () => {
  const all = Object.keys(protocol).filter((name) => name.endsWith('Schema') && !ELSEWHERE.includes(name));
  expect(all.sort()).toEqual(Object.keys(SCHEMAS).sort());
});

test.each(Object.entries(SCHEMAS))('%s takes what is good', (_name, [schema, good]) => {
  for (const one of good) expect(() => decodeAs(schema, new TextEncoder().encode(JSON.stringify(one)))).not.toThrow();
});

test.each(Object.entries(SCHEMAS))('%s takes a message or names what is wrong with it', (_name, [schema, good]) => {
  fc.assert(
    fc.property(hostile(good), (bytes) => {
      const beganMs = threadCpuMs();
      try {
        const taken: unknown = decodeAs(schema, bytes);
        expect(taken).toBeTypeOf('object');
        // Whatever is taken can be passed on.
        JSON.stringify(taken);
      } catch (error) {
        if (!isMusterError(error)) throw error;
        expect(['bad-request', 'payload-too-large']).toContain(error.code);
        expect(error.message).toMatch(/\S/);
        if (error.code === 'bad-request' && isJson(bytes)) expect(error.field).toBeTypeOf('string');
      }
      expect(threadCpuMs() - beganMs).toBeLessThan(SLOW_CPU_MS);
      expect(({} as { isPolluted?: unknown }).isPolluted).toBeUndefined();
    }),
    { numRuns: 400 },
  );
});

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}
