import { readFileSync } from 'node:fs';
import { adminRequestSchema } from '@muster/protocol';
import { expect, test } from 'vitest';
import { POSTS } from './http-reservations.ts';
import { openApi } from './openapi.ts';

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Readonly<Record<string, unknown>> }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Readonly<Record<string, unknown>> }>> };
}
const paths = openApi('1.2.3')['paths'] as Readonly<Record<string, { readonly get?: Operation; readonly post?: Operation }>>;
const page = readFileSync(new URL('../../../docs/reference/http.md', import.meta.url), 'utf8');

test('every path of the page is in it, and no other', () => {
  const onPage = [...page.matchAll(/^\| `(\/[^`]*)`/gm)].map(([, path = '']) => path.replace(/<(\w+)>/, '{$1}'));
  expect([...new Set(onPage)].sort()).toEqual(Object.keys(paths).sort());
  expect(Object.keys(paths).filter((path) => paths[path]?.post !== undefined)).toEqual(expect.arrayContaining(Object.keys(POSTS)));
});

test('parameters have the limits that they are judged by', () => {
  const named = (path: string) => paths[path]?.get?.parameters ?? [];
  expect(named('/v1/slots').map(({ name }) => name)).toEqual(['pool', 'state', 'org', 'page']);
  expect(named('/v1/intents').find(({ name }) => name === 'limit')?.schema).toMatchObject({ minimum: 1, maximum: 200, default: 50 });
  expect(named('/v1/explain/{of}').map((one) => [one.name, one.in])).toEqual([
    ['of', 'path'],
    ['org', 'query'],
  ]);
  for (const [path, { get }] of Object.entries(paths)) {
    const type = /^\/v1\/([a-z]+)(\/\{of\})?$/.exec(path)?.[1];
    if (type === undefined || get === undefined) continue;
    const given = Object.fromEntries((get.parameters ?? []).filter(({ in: where }) => where === 'path').map(({ name }) => [name, 'x']));
    expect(adminRequestSchema.safeParse({ type, ...given }).success).toBe(true);
  }
});

test('bodies have their fields and limits', () => {
  const body = (path: string) => paths[path]?.post?.requestBody?.content['application/json']?.schema;
  expect(body('/v1/reservations')).toMatchObject({
    required: ['org', 'pool'],
    properties: { waitMs: { minimum: 0, maximum: 600_000 }, ttlMs: { minimum: 1_000 }, org: { maxLength: 64 } },
    additionalProperties: false,
  });
  expect(body('/v1/reservations/release')).toMatchObject({ anyOf: [{ required: ['id', 'epoch'] }, { type: 'array', maxItems: 1_000 }] });
});

test('every reference leads somewhere', () => {
  const document = openApi('1.2.3');
  const { schemas } = document['components'] as { readonly schemas: Readonly<Record<string, unknown>> };
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name = '']) => name);
  expect(references.filter((name) => schemas[name] === undefined)).toEqual([]);
});
