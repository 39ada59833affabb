// A configuration that nobody should write is refused with the path of what is wrong, soon, and nothing else happens.
import { isMusterError, parseClusterConfig } from '@muster/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { hostile, threadCpuMs } from './hostile.ts';

const GOOD = {
  cluster: { name: 'demo' },
  nats: { servers: ['nats://127.0.0.1:4222'], replicas: 3 },
  host: { memoryBudget: '18GiB' },
  pools: {
    duckdb: {
      driver: 'process',
      worker: { command: ['node', 'worker.ts'], memory: '256MiB', env: { LOG_LEVEL: 'info' } },
      floor: 5,
      max: 0,
      shards: 2,
      recycle: 'same-org',
      parkedTtl: '60s',
      scaleDown: { after: '60s', every: '30s' },
      breaker: { failures: 5 },
    },
  },
  orgs: { acme: { max: 10, weight: 1 } },
};
const SLOW_CPU_MS = 2_000;

function assertTakenOrRefused(text: string): void {
  const beganMs = threadCpuMs();
  try {
    const { config } = parseClusterConfig(text);
    // Whatever is taken can be journaled.
    JSON.stringify(config);
  } catch (error) {
    if (!isMusterError(error)) throw error;
    expect(['bad-request', 'payload-too-large']).toContain(error.code);
    if (error.code === 'bad-request' && !error.message.startsWith('the configuration is not YAML')) {
      expect(error.field).toBeTypeOf('string');
      expect(error.message).toContain(error.field === '' ? 'the file' : error.field);
    }
  }
  expect(threadCpuMs() - beganMs).toBeLessThan(SLOW_CPU_MS);
  expect(({} as { isPolluted?: unknown }).isPolluted).toBeUndefined();
}

test('what is good is taken', () => {
  expect(() => parseClusterConfig(JSON.stringify(GOOD))).not.toThrow();
  expect(() => parseClusterConfig(stringify(GOOD))).not.toThrow();
});

test('a document with something wrong in it', () => {
  fc.assert(
    fc.property(hostile([GOOD]), (bytes) => assertTakenOrRefused(new TextDecoder().decode(bytes))),
    { numRuns: 500 },
  );
});

test('lines of a good file in another order, twice, indented otherwise, or with the signs of YAML in them', { timeout: 30_000 }, () => {
  const lines = stringify(GOOD).split('\n');
  const line = fc
    .record({
      of: fc.constantFrom(...lines),
      indent: fc.constantFrom('', ' ', '  ', '\t'),
      sign: fc.constantFrom('', '&a ', '*a', '<<: *a', '!!js/function ', '? ', '- ', '--- ', '%YAML 9', '|', '{', '"'),
    })
    .map(({ of, indent, sign }) => `${indent}${of}${sign}`);
  fc.assert(
    fc.property(fc.array(line, { maxLength: 40 }), (some) => assertTakenOrRefused(some.join('\n'))),
    { numRuns: 300 },
  );
});
