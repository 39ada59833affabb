import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process, told apart from a later one of the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** As the kernel tells it, and which boot that was of; only compared. The host agent's markers have the same form. */
  readonly startTime: string;
}

/** Undefined where it does not run (an ended one that only waits to be collected does not). */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = process.platform === 'linux' ? startTimeByProc(pid) : startTimeByPs(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isRunning(identity: ProcessIdentity): boolean {
  const now = identityOf(identity.pid);
  return now !== undefined && now.startTime === identity.startTime;
}

/**
 * Sends a signal to a process and, when it leads one, to its group.
 * @returns false where that very process no longer runs
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  for (const target of [-identity.pid, identity.pid]) {
    try {
      process.kill(target, signal);
      return true;
    } catch (error) {
      // No such group: it does not lead one. No such process: it has just ended.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  return false;
}

// proc_pid_stat(5): the name, in parentheses, may hold anything; the state follows it, and the start time is field 22.
function startTimeByProc(pid: number): string | undefined {
  const stat = tryText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const boot = tryText('/proc/sys/kernel/random/boot_id')?.slice(0, 8) ?? '';
  return `${fields[19] ?? ''}@${boot}`;
}

function startTimeByPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { env: { LC_ALL: 'C' }, encoding: 'utf8' }).trim();
    const [, state, startTime] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
    return state?.startsWith('Z') === true ? undefined : startTime;
  } catch {
    return undefined; // ps ends with 1 when there is none
  }
}

function tryText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
