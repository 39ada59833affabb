import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

const PROGRAM = 'nats-server';

/** nats-server programs that Muster has put away, a folder for each version. */
export class NatsServerCache {
  readonly #folder: string;

  /** `cacheFolder` is Muster's cache; it need not exist. */
  constructor(cacheFolder: string) {
    this.#folder = join(cacheFolder, PROGRAM);
  }

  /** The newest program in it. */
  async newest(): Promise<string | undefined> {
    const versions = (await readdir(this.#folder).catch(() => [])).filter((name) => /^\d+\.\d+\.\d+$/.test(name));
    for (const version of versions.sort(byVersion).reverse()) {
      const path = join(this.#folder, version, PROGRAM);
      if (await isProgram(path)) return path;
    }
    return undefined;
  }

  /** Puts a program in; one that is being run or put in by somebody else at the same time does no harm. */
  async put(version: string, program: string): Promise<string> {
    const folder = join(this.#folder, version);
    await mkdir(folder, { recursive: true });
    const path = join(folder, PROGRAM);
    const fresh = `${path}.${process.pid}`;
    try {
      await copyFile(program, fresh);
      await chmod(fresh, 0o755);
      await rename(fresh, path);
    } finally {
      await rm(fresh, { force: true });
    }
    return path;
  }
}

/** Ascending order of `major.minor.patch`. */
export function byVersion(one: string, other: string): number {
  const [ones, others] = [one.split('.').map(Number), other.split('.').map(Number)];
  for (let at = 0; at < 3; at++) {
    const difference = (ones[at] ?? 0) - (others[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
