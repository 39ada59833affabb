import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readHeldRows, whatIsMissing } from './verification.ts';

const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'reference', 'verification.md');
const rows = readHeldRows(readFileSync(PAGE, 'utf8'));

test('every test that the page of verification names is there', () => {
  expect(rows.flatMap(({ what, tests }) => tests.flatMap((one) => whatIsMissing(one) ?? []).map((said) => `${what}: ${said}`))).toEqual([]);
});

test('it names each guarantee, and the traps of others', () => {
  const guarantees = rows.map(({ what }) => /^G\d+(?=\.)/.exec(what)?.[0]).filter((name) => name !== undefined);
  expect(guarantees).toEqual(Array.from({ length: 10 }, (_, n) => `G${n + 1}`));
  expect(rows.length).toBeGreaterThan(40);
});

test.each([
  ['a file that is not there', { file: 'test/tidy/none.test.ts', title: 'any' }, 'there is no test/tidy/none.test.ts'],
  ['a title that is not there', { file: 'test/tidy/tidy.test.ts', title: 'no such' }, "test/tidy/tidy.test.ts has no test 'no such'"],
  ['no title', { file: 'test/tidy/tidy.test.ts', title: undefined }, 'test/tidy/tidy.test.ts: which test?'],
  ['no test', { file: 'test/tidy/layers.ts', title: 'any' }, 'test/tidy/layers.ts is no test'],
])('it finds %s', (_, named, said) => {
  expect(whatIsMissing(named)).toBe(said);
});

test('a cell that names nothing is refused', () => {
  expect(() => readHeldRows('| what | held by |\n| --- | --- |\n| a promise | somehow |')).toThrow('names no test');
});
