import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

test('runs as it is', () => {
  expect(readConfig({})).toEqual({
    dataFolder: resolve('.muster', 'duckdb'),
    limits: { threads: 1, memoryBytes: 128 * 2 ** 20, runningMax: 3, waitingMax: 100 },
    host: '127.0.0.1',
    port: 0,
    advertise: undefined,
    bodyBytesMax: 2 ** 20,
    statementTimeoutMs: 60_000,
    logLevel: 'info',
  });
});

test('keeps the databases where it is told: in a folder of its own, or of the host', () => {
  expect(readConfig({ MUSTER_DATA_DIR: '/data/workers' }).dataFolder).toBe(join('/data/workers', 'duckdb'));
  expect(readConfig({ MUSTER_DATA_DIR: '/data/workers', MUSTER_DUCKDB_DATA: '/ducks' }).dataFolder).toBe('/ducks');
});

test.each([
  ['MUSTER_DUCKDB_THREADS', '0'],
  ['MUSTER_DUCKDB_THREADS', '1.5'],
  ['MUSTER_DUCKDB_MEMORY', '128'],
  ['MUSTER_DUCKDB_MEMORY', '0'],
  ['MUSTER_DUCKDB_QUERIES', '4'],
  ['MUSTER_DUCKDB_WAITING', '-1'],
  ['MUSTER_DUCKDB_BODY', 'large'],
  ['MUSTER_DUCKDB_STATEMENT_TIMEOUT', '60'],
  ['MUSTER_WORKER_PORT', '65536'],
  ['LOG_LEVEL', 'loud'],
])('refuses %s=%s by name', (name, value) => {
  expect(() => readConfig({ [name]: value })).toThrow(expect.objectContaining({ code: 'bad-request', field: name }));
});

test('more queries at once need more threads, and an address of all needs a name', () => {
  expect(readConfig({ MUSTER_DUCKDB_QUERIES: '7', UV_THREADPOOL_SIZE: '8' }).limits.runningMax).toBe(7);
  expect(() => readConfig({ MUSTER_WORKER_HOST: '0.0.0.0' })).toThrow(/^MUSTER_WORKER_ADVERTISE: /);
});
