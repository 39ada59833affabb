import { encode } from '@muster/protocol';
import { expect, test } from 'vitest';
import { parseResponse } from './wire.ts';

test.each([
  ['null', null],
  ['a list', []],
  ['no epoch', { answer: 1 }],
  ['an error that is nothing', { epoch: 1, error: null }],
  ['an error that is a text', { epoch: 1, error: 'no' }],
])('%s is no answer of a shard', (_what, value) => {
  expect(() => parseResponse(encode(value))).toThrow(expect.objectContaining({ code: 'bad-request' }));
});

test('a code that is not of the table, though every object has something of that name, is a defect', () => {
  expect(parseResponse(encode({ epoch: 1, error: { code: 'constructor', message: 'no' } }))).toEqual({
    epoch: 1,
    error: { code: 'internal', message: 'no' },
  });
});
