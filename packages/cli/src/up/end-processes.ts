import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@muster/ports';
import { z } from 'zod';
import { isRunning, type ProcessIdentity, signalProcess } from '../cluster/process-identity.ts';
import { until } from './until.ts';

/**
 * SIGTERM, and SIGKILL for those that still run after `graceMs`. Only these very processes: a pid that belongs to another
 * one by now is left alone.
 * @returns how many had to be killed
 */
export async function endProcesses(processes: readonly ProcessIdentity[], clock: Clock, graceMs: number): Promise<number> {
  let left = processes.filter((one) => signalProcess(one, 'SIGTERM'));
  const remaining = () => {
    left = left.filter(isRunning);
    return left.length === 0 ? true : undefined;
  };
  if ((await until(remaining, { clock, timeoutMs: graceMs })) === true) return 0;
  const killed = left.filter((one) => signalProcess(one, 'SIGKILL'));
  await until(remaining, { clock, timeoutMs: 5_000 });
  return killed.length;
}

const markerSchema = z.object({ pid: z.number().int(), startTime: z.string(), exited: z.unknown().optional() });

/** Workers that a host agent started and that still run, by the markers in its state folder (`slots/<slot>.json`). */
export function workersOf(hostFolder: string): readonly ProcessIdentity[] {
  const folder = join(hostFolder, 'slots');
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch {
    return []; // no agent has run here yet
  }
  const workers: ProcessIdentity[] = [];
  for (const name of names) {
    const marker = tryMarker(join(folder, name));
    if (marker === undefined || marker.exited !== undefined) continue;
    const worker = { pid: marker.pid, startTime: marker.startTime };
    if (isRunning(worker)) workers.push(worker);
  }
  return workers;
}

function tryMarker(path: string): z.infer<typeof markerSchema> | undefined {
  try {
    return markerSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined; // claimed and never started, or removed at this moment
  }
}
