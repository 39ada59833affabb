import { expect, test } from 'vitest';
import { ownOf } from './own.ts';

test('what is there is given, what every object inherits is not', () => {
  expect(ownOf({ acme: 1 }, 'acme')).toBe(1);
  expect(ownOf({ acme: 1 }, 'other')).toBeUndefined();
  for (const name of ['constructor', 'toString', '__proto__']) expect(ownOf<unknown>({}, name)).toBeUndefined();
  expect(ownOf(JSON.parse('{"constructor": 1}') as Record<string, number>, 'constructor')).toBe(1);
  expect(ownOf(undefined, 'acme')).toBeUndefined();
});
