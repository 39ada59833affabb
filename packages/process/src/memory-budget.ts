import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { formatSize } from '@muster/domain';

/** The part of a host's memory that its workers may have, where nothing is configured. */
const SHARE = 0.75;

/** The memory that the workers of one host may have in all. */
export interface MemoryBudget {
  readonly bytes: number;
  /** How it came about, for people: `75 % of 24.0 GiB (the container's limit)`. */
  readonly why: string;
}

/** Where the numbers come from. */
export interface MemoryProbe {
  /** The text of a file; undefined where it cannot be read. */
  tryRead(path: string): Promise<string | undefined>;
  totalBytes(): number;
}

/**
 * How much memory the workers of this host may have in all (DESIGN 7.2): what is configured, else 75 % of the limit of its
 * control group where there is one, else of the machine's memory.
 */
export async function hostMemoryBudget(configuredBytes?: number, probe: MemoryProbe = machineProbe): Promise<MemoryBudget> {
  if (configuredBytes !== undefined) return { bytes: configuredBytes, why: 'configured' };
  const machineBytes = probe.totalBytes();
  const limitBytes = await cgroupLimit(probe);
  if (limitBytes !== undefined && limitBytes < machineBytes) {
    return { bytes: Math.floor(limitBytes * SHARE), why: `75 % of ${formatSize(limitBytes)} (the container's limit)` };
  }
  return { bytes: Math.floor(machineBytes * SHARE), why: `75 % of ${formatSize(machineBytes)} (the machine's memory)` };
}

const machineProbe: MemoryProbe = {
  tryRead: (path) => readFile(path, 'utf8').catch(() => undefined),
  totalBytes: totalmem,
};

// Version 2 has one line `0::/path`, version 1 one for each controller, `9:memory:/path`. Inside a container the path is
// often that of the host, which is not mounted there: the root of the mount is looked at too. A limit binds whatever lies
// below it, so the lowest one on the way up counts.
async function cgroupLimit(probe: MemoryProbe): Promise<number | undefined> {
  const groups = (await probe.tryRead('/proc/self/cgroup')) ?? '';
  const limits: number[] = [];
  for (const line of groups.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const isV2 = controllers === '';
    if (!isV2 && !controllers.split(',').includes('memory')) continue;
    const mount = isV2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
    for (const folder of ancestors(path)) {
      const text = await probe.tryRead(`${mount}${folder}/${isV2 ? 'memory.max' : 'memory.limit_in_bytes'}`);
      const bytes = Number(text?.trim() === 'max' ? Number.NaN : text);
      if (Number.isFinite(bytes) && bytes > 0) limits.push(bytes);
    }
  }
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** `/a/b` gives `/a/b`, `/a` and the root, which is written as nothing. */
function ancestors(path: string): readonly string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..');
  return Array.from({ length: names.length + 1 }, (_, at) =>
    names
      .slice(0, names.length - at)
      .map((name) => `/${name}`)
      .join(''),
  );
}
