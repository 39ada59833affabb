import { execFileSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readTestEnvironment, type TestEnvironment } from './config.ts';

/** A nats-server program. */
export interface NatsServerBinary {
  readonly path: string;
  /** `2.15.1`. */
  readonly version: string;
}

/**
 * The servers to test on: all of `MUSTER_TEST_NATS_SERVERS`; where it is not set, the one of `MUSTER_NATS_SERVER`, of the
 * PATH, or the newest of Muster's cache.
 * @throws Error where there is none, or one named does not run
 */
export function natsServerBinaries(environment: TestEnvironment = readTestEnvironment()): readonly NatsServerBinary[] {
  if (environment.natsServers.length > 0) return environment.natsServers.map(readBinary);
  const path =
    environment.natsServer ??
    environment.path.map((folder) => join(folder, 'nats-server')).find(isProgram) ??
    newestCached(environment.natsServerCache);
  if (path === undefined) {
    throw new Error('no nats-server to test on: set MUSTER_NATS_SERVER, put one on the PATH, or let `npx muster up` fetch one');
  }
  return [readBinary(path)];
}

function newestCached(cache: string): string | undefined {
  const collator = new Intl.Collator('en', { numeric: true });
  return tryList(cache)
    .sort(collator.compare)
    .reverse()
    .map((version) => join(cache, version, 'nats-server'))
    .find(isProgram);
}

function readBinary(path: string): NatsServerBinary {
  const said = execFileSync(path, ['--version'], { encoding: 'utf8' });
  const version = /v?(\d+\.\d+\.\d+)/.exec(said)?.[1];
  if (version === undefined) throw new Error(`${path} is no nats-server: ${said.trim()}`);
  return { path, version };
}

function tryList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
