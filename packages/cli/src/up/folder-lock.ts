// One `muster up` at a time for each data folder.
//
// Invariants:
//   K1. The lock is a file that names its holder; it is made whole or not at all (link), so nobody reads half of one.
//   K2. A lock whose holder no longer runs is taken away by one taker at a time, who looks again when it is alone.
import { linkSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@muster/ports';
import { z } from 'zod';
import { identityOf, isRunning, type ProcessIdentity } from '../cluster/process-identity.ts';
import { CliError } from '../exit.ts';
import { until } from './until.ts';

const holderSchema = z.object({ pid: z.number().int(), startTime: z.string() });
/** Taking a lock away takes milliseconds; a taker that was killed in the middle is not waited for longer than this. */
const TAKE_AWAY_MS = 10_000;

/**
 * Takes the lock of a folder for this process.
 * @returns what gives it back
 * @throws CliError `conflict` that names the process that has it
 */
export async function lockFolder(folder: string, clock: Clock): Promise<() => void> {
  const path = join(folder, 'lock');
  const me = identityOf(process.pid);
  if (me === undefined) throw new CliError('internal', 'this process cannot be found among the running ones');
  const fresh = join(folder, `lock.${process.pid}`);
  writeFileSync(fresh, JSON.stringify(me), { mode: 0o600 });
  try {
    const isTaken = await until(() => (tryLink(fresh, path) || tryTakeAway(folder, path, clock) ? isMine(path, me) : undefined), {
      clock,
      timeoutMs: 2 * TAKE_AWAY_MS,
    });
    if (isTaken !== true) throw new CliError('conflict', `the lock of ${folder} could not be taken`);
  } finally {
    rmSync(fresh, { force: true });
  }
  return () => {
    if (isMine(path, me) === true) rmSync(path, { force: true });
  };
}

function tryLink(fresh: string, path: string): boolean {
  try {
    linkSync(fresh, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function isMine(path: string, me: ProcessIdentity): true | undefined {
  const holder = tryReadHolder(path);
  return holder?.pid === me.pid && holder.startTime === me.startTime ? true : undefined;
}

/** @throws CliError where its holder runs */
function tryTakeAway(folder: string, path: string, clock: Clock): boolean {
  assertAbandoned(folder, path);
  const gate = join(folder, 'lock.taking');
  try {
    mkdirSync(gate);
  } catch {
    const sinceMs = statSync(gate, { throwIfNoEntry: false })?.mtimeMs ?? clock.wallMs();
    if (clock.wallMs() - sinceMs > TAKE_AWAY_MS) rmdirSync(gate);
    return false;
  }
  try {
    assertAbandoned(folder, path);
    rmSync(path, { force: true });
  } finally {
    rmdirSync(gate);
  }
  return false;
}

function assertAbandoned(folder: string, path: string): void {
  const holder = tryReadHolder(path);
  if (holder === undefined || !isRunning(holder)) return;
  throw new CliError('conflict', `${folder} is in use by another muster up (process ${holder.pid})`, {
    hint: 'end that one, or give another folder with --data',
  });
}

function tryReadHolder(path: string): ProcessIdentity | undefined {
  try {
    return holderSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}
