import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { formatSize } from '@muster/domain';
import { roundTo } from './numbers.ts';

/** Where figures were taken: they mean nothing without it. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memory: string;
  readonly system: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memory: formatSize(totalmem()),
    system: `${type()} ${release()}`,
    node: process.version,
  };
}

/** The load average of the last minute: what else the machine was busy with. */
export function loadAverage(): number {
  return roundTo(loadavg()[0] ?? 0, 2);
}
