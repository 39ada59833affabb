// The folder of one host agent: its id, and the lock that keeps a second agent out of it.
//
// Where there is `flock` the lock is the kernel's, held by a `cat` that reads what only this process could write: it ends
// when this process does, however that comes. Elsewhere it is a file that names this process and its start time.
import { spawn } from 'node:child_process';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Random } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { startTimeOf } from './launch/process-probe.ts';
import { LOCKED_EXIT_CODE, tryFindFlock } from './launch/worker-command.ts';

/** Which folder, and how its lock and id are made. */
export interface StateFolderOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Where `flock` is looked for. */
  readonly programPath: string;
  /** The id to have, where it is configured; else the one of the folder, made the first time. */
  readonly hostId?: string;
}

/** A host agent's folder, held by this process. */
export interface StateFolder {
  readonly path: string;
  readonly hostId: string;
  /** Resolves when the lock was lost: another agent may start now, so this one must end. Never where it was given up. */
  readonly lost: Promise<void>;
  /** Gives the lock up. */
  release(): Promise<void>;
}

/** An agent that was killed gives its lock up in milliseconds. */
const LOCK_WAIT_MS = 3_000;
const LOCK_RETRY_MS = 100;

/** Opens an agent's folder, made where it is not there. @throws MusterError `conflict` when another agent has it */
export async function openStateFolder(options: StateFolderOptions): Promise<StateFolder> {
  const { path, clock } = options;
  await mkdir(path, { recursive: true, mode: 0o700 });
  const flock = await tryFindFlock(options.programPath);
  const endsMs = clock.monotonicMs() + LOCK_WAIT_MS;
  for (;;) {
    const lock = flock === undefined ? await tryLockByFile(join(path, 'agent.pid')) : await tryLockByFlock(flock, join(path, 'agent.lock'));
    if (lock !== undefined) return { path, hostId: await hostIdOf(options), ...lock };
    if (clock.monotonicMs() >= endsMs) throw new MusterError('conflict', `another host agent runs on ${path}`);
    await new Promise<void>((resolve) => clock.setTimer(LOCK_RETRY_MS, resolve));
  }
}

interface Lock {
  readonly lost: Promise<void>;
  release(): Promise<void>;
}

async function tryLockByFlock(flock: string, file: string): Promise<Lock | undefined> {
  const args = ['--nonblock', '--no-fork', '--conflict-exit-code', String(LOCKED_EXIT_CODE), file, 'cat'];
  const holder = spawn(flock, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  const { promise: ended, resolve: end } = Promise.withResolvers<number | null>();
  holder.once('exit', (code) => end(code));
  holder.once('error', () => end(null));
  holder.stdin.on('error', () => undefined);
  const echoed = new Promise<'held'>((resolve) => holder.stdout.once('data', () => resolve('held')));
  holder.stdin.write('?');
  const outcome = await Promise.race([echoed, ended]);
  if (outcome === LOCKED_EXIT_CODE) return undefined;
  if (outcome !== 'held') throw new MusterError('internal', `${file} could not be locked: flock ended with ${outcome}`);
  let isReleased = false;
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
  void ended.then(() => {
    if (!isReleased) lose();
  });
  return {
    lost,
    release: async () => {
      isReleased = true;
      holder.stdin.end();
      await ended;
    },
  };
}

async function tryLockByFile(file: string): Promise<Lock | undefined> {
  const mine = `${process.pid} ${(await startTimeOf(process.pid)) ?? ''}`;
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, mine, { mode: 0o600 });
  try {
    await link(draft, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const [pid, ...startTime] = (await readFile(file, 'utf8')).split(' ');
    if ((await startTimeOf(Number(pid))) !== startTime.join(' ')) await rm(file, { force: true });
    return undefined;
  } finally {
    await rm(draft, { force: true });
  }
  return { lost: new Promise<void>(() => undefined), release: () => rm(file, { force: true }) };
}

async function hostIdOf({ path, hostId, random }: StateFolderOptions): Promise<string> {
  if (hostId !== undefined) return hostId;
  const file = join(path, 'host-id');
  const stored = await readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
  if (/^[A-Za-z0-9_-]{1,64}$/.test(stored)) return stored;
  const made = `host-${random.id(8)}`;
  await writeFile(file, `${made}\n`, { mode: 0o600 });
  return made;
}
