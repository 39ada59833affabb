import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@muster/testkit';

/** True for a process that runs; one that has ended and waits to be collected does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/**
 * Processes that a host agent has started with this NATS address, which is no other test's: by their environment, and
 * where the system does not show that by the agent's markers.
 */
export function workerPids(natsUrl: string, hostFolder: string): readonly number[] {
  return process.platform === 'linux' ? byEnvironment(natsUrl) : byMarkers(hostFolder);
}

/** Kills every worker of a cluster, and waits until they are gone. */
export async function endWorkers(natsUrl: string, hostFolder: string): Promise<void> {
  await eventually(
    () => {
      const pids = workerPids(natsUrl, hostFolder);
      for (const pid of pids) kill(pid);
      return pids.length === 0;
    },
    { timeoutMs: 60_000 },
  );
}

/** `kill -9` of a worker with all that it started. */
export function kill(pid: number): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // It leads no group, or has just ended.
    }
  }
}

function byEnvironment(natsUrl: string): readonly number[] {
  const pids: number[] = [];
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const variables = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      const isWorker = variables.includes(`MUSTER_NATS_URL=${natsUrl}`) && variables.some((one) => one.startsWith('MUSTER_SLOT='));
      if (isWorker && isRunning(Number(name))) pids.push(Number(name));
    } catch {
      // It has just ended.
    }
  }
  return pids;
}

function byMarkers(hostFolder: string): readonly number[] {
  const folder = join(hostFolder, 'slots');
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
  const pids = names.map((name) => {
    const { pid, exited } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { pid?: number; exited?: unknown };
    return exited === undefined ? pid : undefined;
  });
  return pids.filter((pid): pid is number => pid !== undefined && isRunning(pid));
}
