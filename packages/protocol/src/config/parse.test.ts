import { BUDGETS } from '@muster/domain';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { MusterError } from '../errors.ts';
import { isSameConfig, parseClusterConfig, problemsOfChange } from './parse.ts';

const FULL = `
cluster: { name: demo }
nats: { servers: ["nats://127.0.0.1:4222"] }
host: { memoryBudget: 18GiB }
pools:
  duckdb:
    driver: process
    worker: { command: [node, services/duckdb-worker/src/main.ts], memory: 256MiB, env: { LOG_LEVEL: info } }
    floor: 5
    max: 0
    shards: 1
    recycle: same-org
    parkedTtl: 60s
    leaseTtl: 60s
    waitMax: 30s
    scaleDown: { after: 60s, every: 30s }
    breaker: { failures: 5 }
orgs:
  acme: { max: 10, weight: 1 }
`;

function problemOf(text: string): MusterError {
  try {
    parseClusterConfig(text);
  } catch (error) {
    if (error instanceof MusterError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

test('the pinned configuration is read: durations in ms, sizes in bytes', () => {
  const { config, natsServers, hostMemoryBudgetBytes, cluster } = parseClusterConfig(FULL);
  expect(cluster.name).toBe('demo');
  expect(natsServers).toEqual(['nats://127.0.0.1:4222']);
  expect(hostMemoryBudgetBytes).toBe(18 * 1024 ** 3);
  expect(config.pools.duckdb).toMatchObject({
    floor: 5,
    max: 0,
    parkedTtlMs: 60_000,
    waitMaxMs: 30_000,
    scaleDown: { afterMs: 60_000, everyMs: 30_000 },
    template: { memoryBytes: 256 * 1024 ** 2, env: { LOG_LEVEL: 'info' } },
  });
  expect(config.orgs.acme).toEqual({ max: 10, weight: 1 });
});

test('what is left out has its default, and those are what the pinned configuration says', () => {
  const short = parseClusterConfig(
    'cluster: {name: demo}\npools: {duckdb: {driver: process, floor: 5, worker: {command: [node, services/duckdb-worker/src/main.ts], env: {LOG_LEVEL: info}}}}',
  );
  expect(short.config.pools).toEqual(parseClusterConfig(FULL).config.pools);
  expect(short.natsServers).toBeUndefined();
});

test('the journals have one copy, or as many as are asked for, also where the addresses come from elsewhere', () => {
  const file = 'cluster: {name: demo}\npools: {}\n';
  expect(parseClusterConfig(file).natsReplicas).toBe(1);
  expect(parseClusterConfig(FULL).natsReplicas).toBe(1);
  expect(parseClusterConfig(`${file}nats: {replicas: 3}`)).toMatchObject({ natsReplicas: 3, natsServers: undefined });
  expect(problemOf(`${file}nats: {replicas: 2}`).message).toBe('nats.replicas: must be 1, 3 or 5, not 2');
});

test('every problem is named with its path, unknown keys too', () => {
  const error = problemOf(
    FULL.replace('floor: 5', 'floor: -1')
      .replace('parkedTtl: 60s', 'parkedTtl: 60')
      .replace('max: 0', 'maximum: 0')
      .replace('256MiB', 'lots'),
  );
  expect(error.code).toBe('bad-request');
  for (const path of ['pools.duckdb.floor', 'pools.duckdb.parkedTtl', 'pools.duckdb.maximum', 'pools.duckdb.worker.memory']) {
    expect(error.message).toContain(`${path}: `);
  }
});

test('a problem says what is wanted, its limit, and what was given', () => {
  const error = problemOf(
    'cluster: {name: demo}\npools: {A: {driver: simulated}, a: {driver: docker, floor: 1.5, parkedTtl: 99d, worker: {memory: 1B, env: {MUSTER_SLOT: x}}}}\norgs: {c: {max: -1}}',
  );
  expect(error.message.split('; ')).toEqual(
    expect.arrayContaining([
      'pools.A: as a name must be lower case letters, digits and single dashes, starting with a letter',
      'pools.a.driver: must be process, kubernetes or simulated, not "docker"',
      'pools.a.floor: must be a whole number, not 1.5',
      'pools.a.parkedTtl: must be a duration, 0 to 1d, not 99d',
      'pools.a.worker.memory: must be a size, 1MiB or more, not 1B',
      'pools.a.worker.env.MUSTER_SLOT: as a name is set by Muster itself',
      'orgs.c.max: must be 0 or more, not -1',
    ]),
  );
  expect(problemOf('pools: {a: {driver: process, floor: -1}}').message).toBe(
    'cluster: is missing; pools.a.floor: must be 0 or more, not -1; pools.a.worker.command: is needed by the process driver',
  );
});

test('the defaults are those of the one table of budgets', () => {
  const { config } = parseClusterConfig('cluster: {name: demo}\npools: {a: {driver: simulated}}');
  expect(config.pools.a).toMatchObject({
    spawnMs: BUDGETS.spawnMs,
    activationMs: BUDGETS.activationMs,
    leaseTtlMs: BUDGETS.leaseMs,
    parkedTtlMs: BUDGETS.parkedMs,
    waitMaxMs: BUDGETS.waitMaxMs,
  });
});

test.each([
  ['deeply nested', '['.repeat(100_000)],
  ['a cycle', 'a: &a [*a]'],
  ['many aliases', `a: &a [${'x,'.repeat(100)}x]\nb: &b [${'*a,'.repeat(100)}*a]\nc: [${'*b,'.repeat(100)}*b]`],
  ['two documents', 'a: 1\n---\nb: 2'],
  ['one key twice', 'a: 1\na: 2'],
  ["a key that is every object's", 'cluster: {name: demo}\npools: {}\norgs: {__proto__: {max: 1}}'],
])('%s is no YAML of ours', (_what, text) => {
  const error = problemOf(text);
  expect(error.code).toBe('bad-request');
  expect(error.message).toMatch(/^the configuration is not YAML: .*[^:]$/);
});

test('what would not fit one record of the journal, or one message, is refused with the limit', () => {
  const command = `[${Array.from({ length: 20 }, () => 'x'.repeat(1_000)).join(',')}]`;
  expect(problemOf(`cluster: {name: demo}\npools: {a: {driver: process, worker: {command: ${command}}}}`).message).toBe(
    'pools.a.worker: may have at most 16384 bytes as JSON',
  );
  const orgs = Array.from({ length: 9_000 }, (_, n) => `  org-${n}: {max: 1}`).join('\n');
  expect(problemOf(`cluster: {name: demo}\npools: {}\norgs:\n${orgs}`).code).toBe('payload-too-large');
});

test('names that every object inherits are names like any other', () => {
  const { config } = parseClusterConfig('cluster: {name: demo}\npools: {constructor: {driver: simulated}}\norgs: {toString: {max: 2}}');
  expect(Object.keys(config.pools)).toEqual(['constructor']);
  expect(Object.entries(config.orgs)).toEqual([['toString', { max: 2, weight: 1 }]]);
  expect(problemsOfChange({ pools: {}, orgs: {} }, config)).toEqual([]);
});

test('an activation that outlasts the lease is worth a warning', () => {
  const { warnings } = parseClusterConfig('cluster: {name: demo}\npools: {a: {driver: simulated, leaseTtl: 5s}}');
  expect(warnings).toEqual(['pools.a.activation: 10000 ms, but a lease of 5000 ms runs out before']);
});

test.each([
  ['cluster: { name: Demo! }', 'cluster.name'],
  ['pools: { janitor: { driver: simulated } }', 'pools.janitor'],
  ['pools: { a--b: { driver: simulated } }', 'pools.a--b'],
  ['pools: { duckdb: { driver: process } }', 'pools.duckdb.worker.command'],
])('%s is refused at %s', (line, path) => {
  const file = { cluster: { name: 'demo' }, pools: {} };
  const error = problemOf(
    `${stringify(file)
      .replace(/^pools.*$/m, line.startsWith('pools') ? line : 'pools: {}')
      .replace(/^cluster:\n.*$/m, line.startsWith('cluster') ? line : 'cluster: { name: demo }')}`,
  );
  expect(error.message).toContain(path);
});

test('a template hash follows the template alone, whatever the order of its keys', () => {
  const hash = (text: string) => parseClusterConfig(text).config.pools.duckdb?.templateHash;
  expect(hash(FULL.replace('floor: 5', 'floor: 7'))).toBe(hash(FULL));
  expect(hash(FULL.replace('LOG_LEVEL: info', 'LOG_LEVEL: debug'))).not.toBe(hash(FULL));
  expect(hash(FULL.replace('{ LOG_LEVEL: info }', '{ A: x, LOG_LEVEL: info }'))).toBe(
    hash(FULL.replace('{ LOG_LEVEL: info }', '{ LOG_LEVEL: info, A: x }')),
  );
});

test('a floor above a set max is held down with a warning, and only then', () => {
  const held = parseClusterConfig(FULL.replace('max: 0', 'max: 3'));
  expect(held.config.pools.duckdb?.floor).toBe(3);
  expect(held.warnings).toHaveLength(1);
  expect(parseClusterConfig(FULL).warnings).toEqual([]);
});

test('shards and driver of a pool cannot change; all else can', () => {
  const { config } = parseClusterConfig(FULL);
  expect(problemsOfChange(config, parseClusterConfig(FULL.replace('floor: 5', 'floor: 9')).config)).toEqual([]);
  const [problem] = problemsOfChange(config, parseClusterConfig(FULL.replace('shards: 1', 'shards: 2')).config);
  expect(problem?.path).toBe('pools.duckdb.shards');
  expect(isSameConfig(config, parseClusterConfig(FULL).config)).toBe(true);
});

test('whatever the text is, it is taken or refused with a MusterError', () => {
  const lines = FULL.split('\n');
  const cut = fc
    .tuple(fc.nat(lines.length), fc.string({ maxLength: 30 }))
    .map(([at, noise]) => lines.with(Math.min(at, lines.length - 1), noise).join('\n'));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), cut), (text) => {
      try {
        parseClusterConfig(text);
      } catch (error) {
        expect(error).toBeInstanceOf(MusterError);
      }
    }),
  );
});
