// The stories of systems that did this before (docs/reference/verification.md has the list), each as a text.
import { expect, test } from 'vitest';
import { playScenario, readScenarios } from './scenario.ts';

test.each(readScenarios().map(({ name, text }) => [name, text] as const))('%s', { timeout: 60_000 }, async (_, text) => {
  await playScenario(text);
});

test('a scenario that is not so says which line', async () => {
  const text = 'pool main floor=2\nrun 5s\nexpect warm of main = 3';
  await expect(playScenario(text)).rejects.toThrow('line 3: expect warm of main = 3: it is 2');
});
