import { expect, test } from 'vitest';
import { checkLayers, checkManifests, MAY_IMPORT } from './layers.ts';
import { readRepository } from './repository.ts';
import { checkBanned, checkDocumented, checkLeftovers, checkPlaces, checkRunnable, checkSize } from './rules.ts';
import type { Rule } from './source-file.ts';

const files = readRepository();

test.each<[string, Rule]>([
  ['imports point inwards only', checkLayers],
  ['manifests name what is imported', checkManifests],
  ['time, chance, the environment and the console are used in their rooms', checkBanned],
  ['no file is too long', checkSize],
  ['every export of an index.ts has a doc comment', checkDocumented],
  ['nothing is left for later, and no test left out', checkLeftovers],
  ['nothing of this machine is in the repository', checkPlaces],
  ['Node can run the sources as they are', checkRunnable],
])('%s', (_, rule) => {
  expect(rule(files).map(({ path, line, message }) => `${path}:${line}: ${message}`)).toEqual([]);
});

test('it looks at the whole repository, and every workspace has its layer', () => {
  const workspaces = files
    .filter(({ path }) => /^(packages|services)\/[^/]+\/package\.json$/.test(path))
    .map(({ path }) => path.replace('/package.json', ''));
  expect(workspaces.length).toBeGreaterThan(10);
  expect(workspaces.filter((workspace) => MAY_IMPORT[workspace] === undefined)).toEqual([]);
  expect(files.filter(({ path }) => path.endsWith('.ts')).length).toBeGreaterThan(100);
});
