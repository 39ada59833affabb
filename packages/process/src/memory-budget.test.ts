import { describe, expect, it } from 'vitest';
import { hostMemoryBudget, type MemoryProbe } from './memory-budget.ts';

const GiB = 1024 ** 3;

function machine(totalGiB: number, files: Readonly<Record<string, string>> = {}): MemoryProbe {
  return { tryRead: async (path) => files[path], totalBytes: () => totalGiB * GiB };
}

describe('hostMemoryBudget', () => {
  it('is what is configured, whatever the machine has', async () => {
    expect(await hostMemoryBudget(2 * GiB, machine(1))).toEqual({ bytes: 2 * GiB, why: 'configured' });
  });

  it('is 75 % of the machine where no limit is set', async () => {
    const probe = machine(24, { '/proc/self/cgroup': '0::/user.slice\n', '/sys/fs/cgroup/user.slice/memory.max': 'max\n' });
    expect(await hostMemoryBudget(undefined, probe)).toEqual({ bytes: 18 * GiB, why: "75 % of 24.0 GiB (the machine's memory)" });
    expect((await hostMemoryBudget(undefined, machine(24))).bytes).toBe(18 * GiB);
  });

  it('is 75 % of the lowest limit on the way up (version 2)', async () => {
    const probe = machine(24, {
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/b/memory.max': `${8 * GiB}\n`,
      '/sys/fs/cgroup/a/memory.max': `${4 * GiB}\n`,
    });
    expect(await hostMemoryBudget(undefined, probe)).toEqual({ bytes: 3 * GiB, why: "75 % of 4.0 GiB (the container's limit)" });
  });

  it('finds the limit at the root of the mount, as inside a container', async () => {
    const probe = machine(24, { '/proc/self/cgroup': '0::/../../x\n', '/sys/fs/cgroup/memory.max': `${4 * GiB}` });
    expect((await hostMemoryBudget(undefined, probe)).bytes).toBe(3 * GiB);
  });

  it('reads version 1, where no limit is a huge number', async () => {
    const groups = { '/proc/self/cgroup': '9:cpu,cpuacct:/c\n8:memory:/docker/x\n' };
    const limited = machine(24, { ...groups, '/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes': `${4 * GiB}` });
    const unlimited = machine(24, { ...groups, '/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes': '9223372036854771712' });
    expect((await hostMemoryBudget(undefined, limited)).bytes).toBe(3 * GiB);
    expect((await hostMemoryBudget(undefined, unlimited)).bytes).toBe(18 * GiB);
  });
});
