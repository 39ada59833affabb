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
