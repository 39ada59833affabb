import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES } from './errors.ts';
import { MISS_REASONS } from './schemas.ts';

const page = readFileSync(new URL('../../../docs/reference/errors.md', import.meta.url), 'utf8').replace(/ +\|/g, ' |');
const firstCells = (text: string) => [...text.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]);
const [errors = '', misses = ''] = page.split('## Misses');

test('the page of errors lists every code with what it means, and no other', () => {
  expect(firstCells(errors)).toEqual(Object.keys(ERROR_CODES));
  for (const [code, { retryable, http, meaning }] of Object.entries(ERROR_CODES)) {
    expect(errors).toContain(`| \`${code}\` | ${retryable ? 'yes' : 'no'} | ${http} | ${meaning} |`);
  }
});

test('the page of errors lists every miss, and no other', () => {
  expect(firstCells(misses)).toEqual([...MISS_REASONS]);
});
