// One table of deadlines (DESIGN 10): what is tested of it holds only for code that takes its numbers from there.
import { BUDGETS } from '@muster/domain';
import { WORKER_TIMINGS } from '@muster/worker';
import { expect, test } from 'vitest';
import { readRepository } from './repository.ts';
import { isTypeScript } from './source-file.ts';

const texts = readRepository()
  .filter(({ path }) => isTypeScript(path) && !path.startsWith('packages/domain/src/budgets'))
  .map(({ text }) => text);

test.each(Object.keys(BUDGETS))('%s is taken from the table, or compared with it', (name) => {
  expect(texts.some((text) => new RegExp(`\\bBUDGETS\\.${name}\\b`).test(text))).toBe(true);
});

test("a worker's own default, which is in no package of the domain, is the table's", () => {
  expect(WORKER_TIMINGS.orphanAfterMs).toBe(BUDGETS.orphanAfterMs);
});
