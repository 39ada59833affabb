import { expect, test } from 'vitest';
import { isAtLeast } from './server-version.ts';

test.each([
  ['2.9.10', '2.9.10', true],
  ['2.9.9', '2.9.10', false],
  ['2.10.0', '2.9.10', true],
  ['2.15.1', '2.11.0', true],
  ['2.12.0-RC.1', '2.12.0', true],
  ['3.0.0', '2.11.0', true],
  ['', '2.9.10', false],
])('%s is at least %s: %s', (version, least, expected) => {
  expect(isAtLeast(version, least)).toBe(expected);
});
