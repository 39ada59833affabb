// The proof that the simulator can see: every planted bug is found by what the quick run has.
import { expect, test } from 'vitest';
import { PLANTED_BUGS } from './bugs.ts';
import { findPlanted, QUICK_SEEDS } from './find.ts';

test.each(PLANTED_BUGS.map(({ name }) => name))('%s is found', async (name) => {
  expect(await findPlanted(name, QUICK_SEEDS)).toBeDefined();
});
