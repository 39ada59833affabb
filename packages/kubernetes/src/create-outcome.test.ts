import { isMusterError } from '@muster/protocol';
import { expect, test } from 'vitest';
import { faultOf, faultOfStatus } from './api/api-fault.ts';
import { outcomeOfFault } from './create-outcome.ts';

const status = (code: number, reason: string, message: string, more: object = {}) =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason, code, ...more });

test.each([
  [403, 'Forbidden', 'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0', 'quota', true],
  [
    403,
    'Forbidden',
    'pods is forbidden: User "user" cannot create resource "pods" in API group "" in the namespace "pool"',
    'forbidden',
    false,
  ],
  [422, 'Invalid', 'Pod "a" is invalid: spec.containers[0].image: Required value', 'invalid-template', false],
  [400, 'BadRequest', 'strict decoding error: unknown field "spec.contaners"', 'invalid-template', false],
  [404, 'NotFound', 'namespaces "workers" not found', 'invalid-template', false],
] as const)('%i %s: %s is %s', (code, reason, message, fault, retryable) => {
  expect(outcomeOfFault(faultOf(code, {}, status(code, reason, message)))).toEqual({
    kind: 'failed',
    reason: `${fault}: ${message}`,
    retryable,
  });
});

test.each([
  [500, 'InternalError', 'server-error'],
  [503, 'ServiceUnavailable', 'server-error'],
  [504, 'Timeout', 'server-error'],
  [401, 'Unauthorized', 'unauthenticated'],
  // Two creates at once on one quota.
  [409, 'Conflict', 'conflict'],
] as const)('%i %s says nothing about the slot: it is asked again', (code, reason, kind) => {
  const fault = faultOf(code, {}, status(code, reason, 'words'));
  expect(fault.kind).toBe(kind);
  expect(() => outcomeOfFault(fault)).toThrow(expect.toSatisfy((error: unknown) => isMusterError(error, 'driver-unavailable')));
});

test('429 has a text and a header, 503 a field: both say when', () => {
  const throttled = faultOf(429, { 'retry-after': '1' }, 'Too many requests, please try again later.\n');
  expect(throttled).toMatchObject({ kind: 'throttled', retryAfterMs: 1_000 });
  expect(throttled.message).toBe('HTTP 429: Too many requests, please try again later.');
  expect(faultOf(503, {}, status(503, 'ServiceUnavailable', 'x', { details: { retryAfterSeconds: 3 } })).retryAfterMs).toBe(3_000);
  expect(faultOf(429, { 'retry-after': '99999' }, '').retryAfterMs).toBe(60_000);
  expect(faultOf(500, {}, 'no json').retryAfterMs).toBeUndefined();
});

test('an ERROR event of a watch has its code inside', () => {
  expect(faultOfStatus({ code: 410, reason: 'Expired', message: 'too old resource version: 1 (9374)' })).toMatchObject({
    kind: 'expired',
    status: 410,
    message: 'too old resource version: 1 (9374)',
  });
  expect(faultOfStatus('nonsense').kind).toBe('server-error');
});
