// Each rule finds what it is for, and not what looks like it.
import { describe, expect, test } from 'vitest';
import { checkLayers, checkManifests } from './layers.ts';
import { checkBanned, checkDocumented, checkLeftovers, checkPlaces, checkRunnable, checkSize } from './rules.ts';
import { codeOf, type Rule } from './source-file.ts';

/** What the rule says of a repository of these files. */
function said(rule: Rule, files: Readonly<Record<string, string>>): readonly string[] {
  return rule(Object.entries(files).map(([path, text]) => ({ path, text }))).map(
    ({ path, line, message }) => `${path}:${line}: ${message}`,
  );
}

describe('layers', () => {
  test.each([
    ['packages/domain/src/a.ts', "import { x } from '@muster/protocol';"],
    ['packages/protocol/src/a.ts', "import type { X } from '@muster/ports';"],
    ['packages/ports/src/a.ts', "export * from '@muster/runtime';"],
    ['packages/runtime/src/a.ts', "const x = await import('@muster/pool');"],
    ['packages/pool/src/a.ts', "import '@muster/nats';"],
    ['packages/nats/src/a.ts', "import { x } from '@muster/process';"],
    ['packages/process/src/a.ts', "import {\n  x,\n  type Y,\n} from '@muster/nats';"],
    ['packages/worker/src/a.ts', "import { x } from '@muster/client';"],
    ['packages/client/src/a.test.ts', "import { x } from '@muster/pool';"],
    ['services/duckdb-worker/src/a.ts', "import { x } from '@muster/nats';"],
    ['services/host/src/a.ts', "import { x } from '@muster/control-plane';"],
    ['packages/pool/src/a.ts', "import { x } from '../../nats/src/a.ts';"],
    ['packages/pool/src/a.ts', "import { x } from '@muster/ports/src/memory/manual-clock.ts';"],
    ['packages/client/src/a.ts', "import { x } from '@muster/testkit';"],
    ['services/control-plane/src/http/a.ts', "import { x } from '@muster/nats';"],
    ['packages/unheard-of/src/a.ts', "import { x } from '@muster/ports';"],
    ['packages/client/src/a.ts', "import { connect } from '@nats-io/transport-node';"],
    ['packages/pool/src/a.ts', "import { pino } from 'pino';"],
    ['packages/client/src/a.ts', "import { setup } from 'xstate';"],
    ['packages/kubernetes/src/a.ts', "import { KubeConfig, type V1Pod } from '@kubernetes/client-node';"],
    ['packages/domain/src/a.ts', "import { readFile } from 'node:fs';"],
    ['packages/pool/src/a.ts', "import { setTimeout } from 'node:timers/promises';"],
  ])('%s may not %j', (path, text) => {
    expect(said(checkLayers, { [path]: `// one line\n${text}` })).toEqual([expect.stringMatching(`^${path}:2: `)]);
  });

  test.each([
    ['packages/pool/src/a.ts', "import { x } from '@muster/runtime';\nimport { y } from './b.ts';\nimport { setup } from 'xstate';"],
    ['packages/cli/src/a.ts', "import { x } from '@muster/client';\nimport { y } from '@muster/nats';"],
    ['packages/pool/src/a.test.ts', "import { x } from '@muster/testkit';\nimport { readFile } from 'node:fs';"],
    ['packages/kubernetes/src/a.ts', "import type { V1Pod } from '@kubernetes/client-node';\nawait import('@kubernetes/client-node');"],
    ['packages/runtime/test/replica.ts', "import { x } from '@muster/runtime';\nimport { y } from '@muster/nats';"],
    ['services/control-plane/src/compose.ts', "import { x } from '@muster/nats';\nimport { y } from '@muster/process';"],
    ['test/end-to-end/a.test.ts', "import { x } from '@muster/cli';\nimport { y } from '@muster/nats';"],
  ])('%s may %j', (path, text) => {
    expect(said(checkLayers, { [path]: text })).toEqual([]);
  });
});

describe('manifests', () => {
  const manifest = (dependencies: Record<string, string>) => JSON.stringify({ name: '@muster/pool', license: 'MIT', dependencies });
  const source = "import { x } from '@muster/ports';\nimport { z } from 'zod/mini';\nimport { y } from 'node:crypto';";

  test('name what the sources import, in exact versions', () => {
    const files = { 'packages/pool/src/a.ts': source, 'packages/pool/src/a.test.ts': "import 'vitest';" };
    expect(said(checkManifests, { ...files, 'packages/pool/package.json': manifest({ '@muster/ports': '0.1.0', zod: '4.6.7' }) })).toEqual(
      [],
    );
    expect(
      said(checkManifests, { ...files, 'packages/pool/package.json': manifest({ '@muster/domain': '0.1.0', zod: '^4.6.7' }) }),
    ).toEqual([
      expect.stringContaining('zod is at ^4.6.7'),
      expect.stringContaining('import @muster/ports, which it does not name'),
      expect.stringContaining('names @muster/domain, which its sources do not import'),
    ]);
  });

  test('are named after their folder, with the license', () => {
    expect(said(checkManifests, { 'packages/nats/package.json': '{"name": "@muster/nuts"}' })).toEqual([
      expect.stringContaining('not after its folder'),
      expect.stringContaining('no license'),
    ]);
    expect(said(checkManifests, { 'package.json': '{"devDependencies": {"vitest": "~5.1.1"}}' })).toEqual([
      expect.stringContaining('vitest'),
    ]);
  });
});

describe('rooms', () => {
  test.each([
    'const now = Date.now();',
    'const later = new Date();',
    'const now = performance.now();',
    'setTimeout(() => undefined, 5);',
    "import { setInterval } from 'node:timers/promises';",
    'const chance = Math.random();',
    'const id = crypto.randomUUID();',
    "const home = process.env['HOME'];",
    "console.log('x');",
    'const text = `a ${`b ${Date.now()}`} c`;',
  ])('%s is banned', (text) => {
    expect(said(checkBanned, { 'packages/pool/src/a.ts': `\n${text}` })).toEqual([
      expect.stringMatching(/^packages\/pool\/src\/a\.ts:2: /),
    ]);
  });

  test.each([
    ['packages/ports/src/node/system-clock.ts', 'setTimeout(fire, Date.now());'],
    ['packages/pool/src/a.test.ts', 'setTimeout(fire, Date.now());'],
    ['services/host/src/config.ts', 'const env = process.env;'],
    ['packages/testkit/src/find.ts', 'const env = process.env;'],
    ['packages/cli/src/a.ts', "console.log('x');"],
    [
      'packages/pool/src/a.ts',
      '// Date.now()\nconst a = "Date.now()"; /* setTimeout */ const b = `console ${a} process.env`; const c = /Math.random/;',
    ],
    ['packages/pool/src/a.ts', 'clock.setTimer(5, fire); const at = new Date(clock.wallMs());'],
    ['packages/pool/src/a.ts', 'export async function f(): Promise<void> {}'],
  ])('%s may %j', (path, text) => {
    expect(said(checkBanned, { [path]: text })).toEqual([]);
  });

  test('the domain waits for nothing', () => {
    expect(said(checkBanned, { 'packages/domain/src/a.ts': 'export async function f() {}' })).toHaveLength(1);
  });
});

test('a file of 501 lines is too long, one of 500 is not', () => {
  expect(said(checkSize, { 'a.ts': 'x;\n'.repeat(500), 'b.ts': 'x;\n'.repeat(501) })).toEqual([expect.stringMatching(/^b\.ts:501: /)]);
});

test('an export of an index.ts without a doc comment is found where it is declared', () => {
  const files = {
    'packages/x/src/index.ts': "export { a, type B, c as d } from './a.ts';\nexport * from './star.ts';\nexport const own = 1;\n",
    'packages/x/src/a.ts': 'export function a() {}\n\nexport interface B {}\nexport class c {}\nexport const inner = 1;\n',
    'packages/x/src/star.ts':
      "/** Said. */\nexport async function f() {}\n// not enough\nexport const g = 1;\nexport * from './more.ts';\n",
    'packages/x/src/more.ts': 'export abstract class More {}\n',
  };
  expect(said(checkDocumented, files)).toEqual([
    'packages/x/src/index.ts:3: own is exported without a doc comment',
    'packages/x/src/a.ts:1: a is exported without a doc comment',
    'packages/x/src/a.ts:4: c is exported without a doc comment',
    'packages/x/src/star.ts:4: g is exported without a doc comment',
    'packages/x/src/more.ts:1: More is exported without a doc comment',
  ]);
});

test.each([
  ['a.ts', `// ${'TO'}DO: later`],
  ['README.md', `${'FIX'}ME`],
  ['a.test.ts', `${'test'}.only('x', () => undefined);`],
  ['a.test.ts', `${'describe'}.skip('x', () => undefined);`],
  ['a.test.ts', `${'it'}.concurrent.only('x', () => undefined);`],
])('in %s %j is left for later', (path, text) => {
  expect(said(checkLeftovers, { [path]: text })).toHaveLength(1);
});

test('a test that is left out on a condition is no leftover', () => {
  expect(said(checkLeftovers, { 'a.test.ts': "test.skipIf(isOld)('x', () => undefined); const only = todo.skip;" })).toEqual([]);
});

test.each([
  ['docs/a.md', `see ${'/ho'}me/somebody/muster`],
  ['a.ts', `const path = '${'/wo'}rk/main/a';`],
  ['.ci/run', `cp ${'/va'}r/tmp/nats-server .`],
  ['package-lock.json', '{"resolved": "https://mirror.example.com/zod/-/zod-4.6.7.tgz"}'],
  ['.npmrc', 'registry=https://mirror.example.com/'],
])('in %s %j is of one machine', (path, text) => {
  expect(said(checkPlaces, { [path]: text })).toHaveLength(1);
});

test('places that every machine has are none of one machine', () => {
  const files = {
    'a.ts': `import '${'./wo'}rk/a.ts'; const file = '/etc/hostname'; const data = '/data/workers';`,
    'package-lock.json': '{"x": {"resolved": "packages/cli"}}',
  };
  expect(said(checkPlaces, files)).toEqual([]);
});

test.each(["import { x } from './b';", 'export enum X { a }', 'namespace X {}'])('Node could not run %j', (text) => {
  expect(said(checkRunnable, { 'packages/x/src/a.ts': text })).toHaveLength(1);
});

test('code is told from comments and strings, line by line', () => {
  const text = 'a; // b\n/* c\n d */ e; \'f\\\' g\' "h" `i ${j + `k ${l}` + "m"} n`; /o[/]p/.test(q) / r;';
  const code = codeOf(text);
  expect(code).toHaveLength(text.length);
  expect(code.match(/[a-z]+/g)).toEqual(['a', 'e', 'j', 'l', 'test', 'q', 'r']);
  expect(code.split('\n').map((line) => line.length)).toEqual(text.split('\n').map((line) => line.length));
});
