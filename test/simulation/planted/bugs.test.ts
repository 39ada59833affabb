import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { PLANTED_BUGS } from './bugs.ts';
import { applyEdit } from './plant.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

test.each(PLANTED_BUGS.map((bug) => [bug.name, bug] as const))('%s can be planted', (_, { edits }) => {
  const texts = new Map<string, string>();
  for (const edit of edits) {
    const text = texts.get(edit.file) ?? readFileSync(resolve(ROOT, edit.file), 'utf8');
    texts.set(edit.file, applyEdit(text, edit));
  }
  expect(texts.size).toBeGreaterThan(0);
});

test('each has a name of its own', () => {
  expect(new Set(PLANTED_BUGS.map(({ name }) => name)).size).toBe(PLANTED_BUGS.length);
  expect(PLANTED_BUGS.length).toBeGreaterThanOrEqual(18);
});
