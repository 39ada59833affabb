import { expect, it } from 'vitest';
import { adminRequestSchema } from './admin.ts';
import { parse } from './codec.ts';
import { poolSchema, reservationRefsSchema, reserveRequestSchema } from './schemas.ts';

const many = Array.from({ length: 1_001 }, () => ({ id: 'a', epoch: 1 }));

it.each([
  [reserveRequestSchema, {}, 'org', 'org: is missing'],
  [reserveRequestSchema, { org: 7 }, 'org', 'org: must be a text, not 7'],
  [reserveRequestSchema, { org: 'x'.repeat(65) }, 'org', 'org: may have at most 64 characters'],
  [reserveRequestSchema, { org: 'a', waitMs: -1 }, 'waitMs', 'waitMs: must be 0 or more, not -1'],
  [reserveRequestSchema, { org: 'a', waitMs: 1e9 }, 'waitMs', 'waitMs: must be 600000 or less, not 1000000000'],
  [reserveRequestSchema, { org: 'a', waitMs: 0.5 }, 'waitMs', 'waitMs: must be a whole number, not 0.5'],
  [reserveRequestSchema, { org: 'a', colour: 1 }, 'colour', 'colour: is not a known field'],
  [reserveRequestSchema, null, '', 'must be a map, not null'],
  [reservationRefsSchema, { id: 'a' }, 'epoch', 'epoch: is missing'],
  [reservationRefsSchema, { id: 'a', epoch: 0 }, 'epoch', 'epoch: must be 1 or more, not 0'],
  [reservationRefsSchema, [{ id: 'a', epoch: 1 }, { id: 'b' }], '1.epoch', '1.epoch: is missing'],
  [reservationRefsSchema, [], '', 'must have 1 or more entries'],
  [reservationRefsSchema, many, '', 'may have at most 1000 entries'],
  [reservationRefsSchema, 'a', '', 'must be a map, not a text'],
  [adminRequestSchema, {}, 'type', 'type: is missing'],
  [adminRequestSchema, { type: 'intents', limit: 201 }, 'limit', 'limit: must be 200 or less, not 201'],
])('names the field and its limit %#', (schema, value, field, message) => {
  expect(() => parse(schema, value)).toThrow(expect.objectContaining({ code: 'bad-request', field, message }));
});

it('names what may be chosen from', () => {
  const told = (value: unknown) => () => parse(adminRequestSchema, value);
  expect(told({ type: 'explode' })).toThrow(/^type: must be status, .* or forget-host, not "explode"$/);
  expect(told({ type: 'slots', state: 'gone' })).toThrow(/^state: must be spawning, .* or reaped, not "gone"$/);
});

it('calls a value that is no message by its name', () => {
  expect(() => parse(poolSchema, 'DUCK', 'pool')).toThrow(
    expect.objectContaining({ field: 'pool', message: expect.stringMatching(/^pool: must be lower case/) }),
  );
});

it('repeats nothing of a text, which may be secret', () => {
  expect(() => parse(reserveRequestSchema, { org: 'a', activation: 'my password' })).toThrow('activation: must be a map, not a text');
});
