// Many seeds on several processes.
import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import { planOf } from './plan.ts';
import type { Report } from './report.ts';
import { playScenario, readScenarios } from './scenario.ts';
import { type RunResult, simulate } from './simulation.ts';

/** A result as it goes from one process to another. */
export type Sent = Omit<RunResult, 'faults'> & { readonly faults: readonly (readonly [string, number])[] };

/** Seeds `from` and every `step`th one after it, below `to`. */
export interface Range {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

export function parseRange(text: string): Range {
  const [from = 0, to = 0, step = 1] = text.split(',').map(Number);
  return { from, to, step };
}

/** Runs a range in a process of its own, and adds what it says to the report. @throws Error where the process fails */
export function runInChild({ from, to, step }: Range, report: Report, onResult: () => void): Promise<void> {
  return new Promise((done, reject) => {
    const child = fork(resolve(import.meta.dirname, 'simulate.ts'), ['--child', `${from},${to},${step}`]);
    child.on('message', (sent: Sent) => {
      report.add({ ...sent, faults: new Map(sent.faults) });
      onResult();
    });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? done() : reject(new Error(`a process of the simulation ended with ${code}`))));
  });
}

/** In such a process: runs the range, and tells each result; with `isFirstEnough` up to the first violation. */
export async function serveRange({ from, to, step }: Range, isFirstEnough: boolean): Promise<void> {
  let isFound = false;
  for (let seed = from; seed < to; seed += step) {
    const result = await simulate(planOf(seed));
    await tell({ ...result, faults: [...result.faults] } satisfies Sent);
    isFound = result.violation !== undefined;
    if (isFirstEnough && isFound) break;
  }
  if (isFirstEnough && !isFound) await tellScenarios();
  process.disconnect();
}

/** The scenarios too, for a planted bug: what one says counts as a violation. */
async function tellScenarios(): Promise<void> {
  for (const { name, text } of readScenarios()) {
    try {
      await playScenario(text);
    } catch (error) {
      await tell({ seed: 0, violation: { rule: 'scenario', said: `${name}: ${(error as Error).message}`, atMs: 0 } });
      return;
    }
  }
}

function tell(result: Sent | Pick<Sent, 'seed' | 'violation'>): Promise<void> {
  return new Promise((sent) => void process.send?.(result, () => sent()));
}
