import { delimiter, join } from 'node:path';
import { MusterError } from '@muster/protocol';
import type { Environment } from '../config.ts';
import { isProgram, NatsServerCache } from './cache.ts';
import { tryDebianPackage } from './debian-package.ts';
import { tryHomebrew } from './homebrew.ts';
import { fetchOfficialRelease } from './official-release.ts';
import { versionOf } from './program-version.ts';
import { type RunProgram, runProgram } from './run-program.ts';

export interface NatsServerProgram {
  readonly path: string;
  /** `2.15.1`. */
  readonly version: string;
  readonly from: 'MUSTER_NATS_SERVER' | 'PATH' | 'cache' | 'package' | 'release';
}

export interface FindOptions {
  readonly environment: Environment;
  /** Told what is done, line by line, where something has to be fetched. */
  readonly say: (line: string) => void;
  readonly run?: RunProgram;
  readonly isRoot?: boolean;
}

/**
 * A nats-server to run: `MUSTER_NATS_SERVER`, the PATH, Muster's cache, the system's package manager, the official release.
 * The last two put it into the cache (Homebrew: where Homebrew puts it), so that the next call finds it at once.
 * @throws MusterError `not-found` with what was tried, `refused` where a checksum is wrong
 */
export async function findNatsServer(options: FindOptions): Promise<NatsServerProgram> {
  const { environment, say, run = runProgram } = options;
  const named = environment.natsServer;
  if (named !== undefined) {
    const version = await versionOf(named, run);
    if (version === undefined) throw new MusterError('not-found', `MUSTER_NATS_SERVER names ${named}, which is no nats-server that runs`);
    return { path: named, version, from: 'MUSTER_NATS_SERVER' };
  }
  const cache = new NatsServerCache(environment.cacheFolder);
  for (const from of ['PATH', 'cache'] as const) {
    const path = from === 'PATH' ? await onPath(environment.path) : await cache.newest();
    const version = path === undefined ? undefined : await versionOf(path, run);
    if (path !== undefined && version !== undefined) return { path, version, from };
  }
  say(`no nats-server on the PATH or in ${environment.cacheFolder}`);
  const isRoot = options.isRoot ?? process.getuid?.() === 0;
  const shared = { cache, run, say, tempFolder: environment.tempFolder };
  const packaged = (await tryDebianPackage({ ...shared, isRoot })) ?? (await tryHomebrew(run, say));
  if (packaged !== undefined) return { path: packaged, version: (await versionOf(packaged, run)) ?? 'unknown', from: 'package' };
  const path = await fetchOfficialRelease({ ...shared, baseUrl: environment.natsReleases });
  return { path, version: (await versionOf(path, run)) ?? 'unknown', from: 'release' };
}

async function onPath(path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    const program = join(folder, 'nats-server');
    if (folder !== '' && (await isProgram(program))) return program;
  }
  return undefined;
}
