// What the environment says of this worker; README.md lists it.
import { join, resolve } from 'node:path';
import { parseDuration, parseSize } from '@muster/domain';
import { MusterError } from '@muster/protocol';
import type { DatabaseLimits } from './database.ts';

export interface DuckdbWorkerConfig {
  /** Where the databases lie, a folder for each org. */
  readonly dataFolder: string;
  readonly limits: DatabaseLimits;
  readonly host: string;
  readonly port: number;
  /** Host in the endpoint, where it is not the one to listen on. */
  readonly advertise: string | undefined;
  readonly bodyBytesMax: number;
  readonly statementTimeoutMs: number;
  readonly logLevel: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];
/** Node's own default. */
const POOL_THREADS = 4;

/** @throws MusterError `bad-request` that names the variable and what it may be */
export function readConfig(environment: Environment = process.env): DuckdbWorkerConfig {
  const read = (name: string): string | undefined => environment[name] || undefined;
  const host = read('MUSTER_WORKER_HOST') ?? '127.0.0.1';
  const advertise = read('MUSTER_WORKER_ADVERTISE');
  if (advertise === undefined && (host === '0.0.0.0' || host === '::')) {
    throw wrong('MUSTER_WORKER_ADVERTISE', `must say how this worker is reached where MUSTER_WORKER_HOST is ${host}`);
  }
  const logLevel = read('LOG_LEVEL') ?? 'info';
  if (!LOG_LEVELS.includes(logLevel)) throw wrong('LOG_LEVEL', `must be one of ${LOG_LEVELS.join(', ')}`);
  return {
    dataFolder: resolve(read('MUSTER_DUCKDB_DATA') ?? join(read('MUSTER_DATA_DIR') ?? '.muster', 'duckdb')),
    limits: {
      threads: readCount(environment, 'MUSTER_DUCKDB_THREADS', 1, 1, 1_024),
      memoryBytes: readUnits(environment, 'MUSTER_DUCKDB_MEMORY', '128MiB', parseSize),
      runningMax: readQueriesMax(environment),
      waitingMax: readCount(environment, 'MUSTER_DUCKDB_WAITING', 100, 0, 10_000),
    },
    host,
    port: readCount(environment, 'MUSTER_WORKER_PORT', 0, 0, 65_535),
    advertise,
    bodyBytesMax: readUnits(environment, 'MUSTER_DUCKDB_BODY', '1MiB', parseSize),
    statementTimeoutMs: readUnits(environment, 'MUSTER_DUCKDB_STATEMENT_TIMEOUT', '60s', parseDuration),
    logLevel,
  };
}

/** A query holds a thread of libuv's pool, which opening files and looking up addresses need too. */
function readQueriesMax(environment: Environment): number {
  const threads = readCount(environment, 'UV_THREADPOOL_SIZE', POOL_THREADS, 2, 1_024);
  return readCount(environment, 'MUSTER_DUCKDB_QUERIES', Math.min(POOL_THREADS, threads) - 1, 1, threads - 1);
}

function readCount(environment: Environment, name: string, otherwise: number, min: number, max: number): number {
  const text = environment[name] || String(otherwise);
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw wrong(name, `must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`);
}

function readUnits(environment: Environment, name: string, otherwise: string, parse: (text: string) => number): number {
  try {
    const value = parse(environment[name] || otherwise);
    if (value > 0) return value;
  } catch (error) {
    throw wrong(name, error instanceof Error ? error.message : String(error));
  }
  throw wrong(name, 'must be more than 0');
}

function wrong(name: string, message: string): MusterError {
  return new MusterError('bad-request', `${name}: ${message}`, { field: name });
}
