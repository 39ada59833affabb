import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const runFile = promisify(execFile);

/** How `flock` ends when somebody else holds the lock; its own default, 1, could be the worker's. */
export const LOCKED_EXIT_CODE = 197;

/** The path of util-linux' `flock` with `--no-fork`, which becomes the command it is given and so keeps its pid. */
export async function tryFindFlock(path: string): Promise<string | undefined> {
  const flock = await tryResolveProgram('flock', '/', path);
  if (flock === undefined) return undefined;
  const { stdout } = await runFile(flock, ['--help']).catch(() => ({ stdout: '' }));
  return stdout.includes('--no-fork') ? flock : undefined;
}

/** The command under a lock that it holds for life; a second one with the same file ends at once. */
export function lockedCommand(flock: string, lockPath: string, command: readonly string[]): readonly string[] {
  return [flock, '--nonblock', '--no-fork', '--conflict-exit-code', String(LOCKED_EXIT_CODE), lockPath, ...command];
}

/** The program that a command names, as a path; `node` is the Node that runs this. Undefined where there is none. */
export async function tryResolveProgram(program: string, folder: string, path: string): Promise<string | undefined> {
  if (program === 'node') return process.execPath;
  const candidates = program.includes('/')
    ? [resolve(folder, program)]
    : path.split(delimiter).map((entry) => join(resolve(folder, entry), program));
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // The next one, as a shell does.
    }
  }
  return undefined;
}
