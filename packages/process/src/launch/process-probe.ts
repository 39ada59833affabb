// Which processes there are, told apart for good: a pid comes back, a pid with its start time does not.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

export interface ProcessIdentity {
  readonly pid: number;
  /** As the kernel tells it; only compared. */
  readonly startTime: string;
}

const runFile = promisify(execFile);
const isLinux = process.platform === 'linux';
const PS_PIDS_MAX = 500;

/** The start times of those of `pids` that run; one that has ended and only waits to be collected does not. */
export async function startTimesOf(pids: readonly number[]): Promise<ReadonlyMap<number, string>> {
  if (!isLinux) return startTimesByPs(pids);
  const found = new Map<number, string>();
  for (const pid of pids) {
    const startTime = tryStartTime(pid);
    if (startTime !== undefined) found.set(pid, startTime);
  }
  return found;
}

/** The start time of one process; undefined where it does not run. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  return (await startTimesOf([pid])).get(pid);
}

/**
 * The leaders of process groups that were started with an environment variable, by its value. Where the system does not
 * show environments (anything but Linux) it finds none.
 */
export function findByVariable(name: string): ReadonlyMap<string, ProcessIdentity> {
  const found = new Map<string, ProcessIdentity>();
  if (!isLinux) return found;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    const stat = tryStat(pid);
    if (stat === undefined || stat.group !== pid || stat.isEnded) continue;
    const value = tryText(`/proc/${pid}/environ`)
      ?.split('\0')
      .find((variable) => variable.startsWith(`${name}=`))
      ?.slice(name.length + 1);
    if (value !== undefined) found.set(value, { pid, startTime: withBoot(stat.startTicks) });
  }
  return found;
}

function tryStartTime(pid: number): string | undefined {
  const stat = tryStat(pid);
  return stat === undefined || stat.isEnded ? undefined : withBoot(stat.startTicks);
}

// proc_pid_stat(5): the name, in parentheses, may hold anything; after it come state (3rd field), parent, group (5th), …,
// start time in ticks since boot (22nd). These files are the kernel's memory: reading them does not wait for a disk.
function tryStat(pid: number): { readonly isEnded: boolean; readonly group: number; readonly startTicks: string } | undefined {
  const text = tryText(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, , group] = fields;
  return { isEnded: state === 'Z' || state === 'X', group: Number(group), startTicks: fields[19] ?? '' };
}

let bootId: string | undefined;

/** Ticks begin anew with each boot. */
function withBoot(ticks: string): string {
  bootId ??= tryText('/proc/sys/kernel/random/boot_id')?.slice(0, 8) ?? '';
  return `${ticks}@${bootId}`;
}

function tryText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function startTimesByPs(pids: readonly number[]): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  for (let at = 0; at < pids.length; at += PS_PIDS_MAX) {
    const list = pids.slice(at, at + PS_PIDS_MAX).join(',');
    // ps ends with 1 when it finds none.
    const { stdout } = await runFile('ps', ['-o', 'pid=,stat=,lstart=', '-p', list], { env: { LC_ALL: 'C' } }).catch(() => ({
      stdout: '',
    }));
    for (const line of stdout.split('\n')) {
      const [, pid, state, startTime] = /^\s*(\d+)\s+(\S+)\s+(.+?)\s*$/.exec(line) ?? [];
      if (pid !== undefined && startTime !== undefined && !state?.startsWith('Z')) found.set(Number(pid), startTime);
    }
  }
  return found;
}
