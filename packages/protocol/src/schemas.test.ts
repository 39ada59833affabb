import { expect, it } from 'vitest';
import { parse } from './codec.ts';
import { LIMITS, reserveRequestSchema } from './schemas.ts';

/** An activation in which objects are nested so deep. */
function nested(depth: number): Record<string, unknown> {
  let value: Record<string, unknown> = {};
  for (let at = 1; at < depth; at++) value = { inner: value };
  return value;
}

it('takes an activation that is nested up to the limit, and refuses what would end the stack', () => {
  const request = (depth: number) => parse(reserveRequestSchema, { org: 'acme', activation: nested(depth) });
  expect(() => request(LIMITS.activationDepthMax)).not.toThrow();
  for (const depth of [LIMITS.activationDepthMax + 1, 100_000]) {
    expect(() => request(depth)).toThrow(expect.objectContaining({ code: 'bad-request', field: 'activation' }));
  }
});
