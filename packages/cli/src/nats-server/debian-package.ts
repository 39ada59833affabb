import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NatsServerCache } from './cache.ts';
import { versionOf } from './program-version.ts';
import type { RunProgram } from './run-program.ts';

const PACKAGE = 'nats-server';

/**
 * Debian's or Ubuntu's package, taken apart into Muster's cache: nothing is installed, since the package would start a
 * server as a service of the machine. Fetching needs no rights; reading the package lists anew needs root or sudo.
 *
 * Undefined, with the reason said, where that is not possible.
 */
export async function tryDebianPackage(options: {
  readonly cache: NatsServerCache;
  readonly run: RunProgram;
  readonly tempFolder: string;
  readonly isRoot: boolean;
  readonly say: (line: string) => void;
}): Promise<string | undefined> {
  const { run, say } = options;
  if ((await run('apt-get', ['--version'])).code !== 0 || (await run('dpkg-deb', ['--version'])).code !== 0) return undefined;
  const folder = await mkdtemp(join(options.tempFolder, 'muster-apt-'));
  try {
    say(`fetching the ${PACKAGE} package of this system (apt-get download)`);
    let fetched = await run('apt-get', ['download', PACKAGE], { cwd: folder });
    if (fetched.code !== 0) {
      if (!(await updateLists(options))) {
        say(`apt-get knows no ${PACKAGE}: ${fetched.said}`);
        return undefined;
      }
      fetched = await run('apt-get', ['download', PACKAGE], { cwd: folder });
    }
    const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
    if (fetched.code !== 0 || archive === undefined) {
      say(`apt-get download failed: ${fetched.said}`);
      return undefined;
    }
    const unpacked = await run('dpkg-deb', ['-x', archive, 'root'], { cwd: folder });
    const program = join(folder, 'root', 'usr', 'sbin', PACKAGE);
    const version = unpacked.code === 0 ? await versionOf(program, run) : undefined;
    if (version === undefined) {
      say(`the package cannot be used: ${unpacked.said || `it brings no ${PACKAGE} that runs`}`);
      return undefined;
    }
    const path = await options.cache.put(version, program);
    say(`put nats-server ${version} into ${path}`);
    return path;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function updateLists({ run, isRoot, say }: Parameters<typeof tryDebianPackage>[0]): Promise<boolean> {
  if (!isRoot && (await run('sudo', ['-n', 'true'])).code !== 0) {
    say('the package lists are not there, and reading them needs root or sudo without a password');
    return false;
  }
  say('reading the package lists (apt-get update)');
  const updated = isRoot ? await run('apt-get', ['update', '-q']) : await run('sudo', ['-n', 'apt-get', 'update', '-q']);
  if (updated.code !== 0) say(`apt-get update failed: ${updated.said}`);
  return updated.code === 0;
}
