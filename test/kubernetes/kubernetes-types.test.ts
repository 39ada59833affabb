import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readKubernetesTypes } from './kubernetes-types.ts';

test('the double decodes by the fields that the client in use was generated with', () => {
  const file = new URL('../../packages/testkit/src/kubernetes/types.json', import.meta.url);
  expect(JSON.parse(readFileSync(file, 'utf8')), 'run `npm run kubernetes-types`').toEqual(readKubernetesTypes());
});
