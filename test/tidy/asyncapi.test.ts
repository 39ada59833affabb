import { readFileSync } from 'node:fs';
import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { asyncApi } from './asyncapi.ts';

const document = asyncApi() as {
  readonly channels: Readonly<Record<string, { readonly address: string }>>;
  readonly operations: Readonly<Record<string, unknown>>;
};

test('docs/reference/asyncapi.json is what the schemas say (npm run asyncapi)', () => {
  const file = readFileSync(new URL('../../docs/reference/asyncapi.json', import.meta.url), 'utf8');
  expect(JSON.parse(file)).toEqual(document);
});

test('every subject is in it but those that replicas have among themselves', () => {
  const own = ['journal', 'part', 'shardCommand', 'shardRequest', 'replicaBeat', 'hostForgotten', 'reservation'];
  const wildcard = /\*|>/;
  const wanted = Object.entries(subjects)
    .filter(([name]) => !own.includes(name))
    .map(([, subject]) => subject('x', 'x', 'x'))
    .filter((subject) => !wildcard.test(subject));
  const there = Object.values(document.channels).map(({ address }) => address.replace(/\{\w+\}/g, 'x'));
  expect(there.toSorted()).toEqual(wanted.toSorted());
});
