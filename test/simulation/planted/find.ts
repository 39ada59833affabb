// Looks for a planted bug with what the quick run has, its seeds and its scenarios, in a process of its own whose sources have it.
import { fork } from 'node:child_process';
import { resolve } from 'node:path';
import type { Sent } from '../batch.ts';

/** Seeds that a planted bug has to be found within: those of the quick run. */
export const QUICK_SEEDS = 60;

export interface Found {
  readonly seed: number;
  readonly rule: string;
  readonly said: string;
}

/** What shows the bug: a seed, or (seed 0) a scenario; undefined where none of the first `seeds` and no scenario does. @throws Error where the process fails */
export function findPlanted(name: string, seeds: number): Promise<Found | undefined> {
  return new Promise((done, reject) => {
    let found: Found | undefined;
    const child = fork(resolve(import.meta.dirname, '../simulate.ts'), ['--child', `1,${seeds + 1},1`, '--plant', name], {
      execArgv: ['--import', resolve(import.meta.dirname, 'hook.ts')],
      silent: true,
    });
    let complaints = '';
    child.stderr?.on('data', (text: Buffer) => {
      complaints = (complaints + text.toString()).slice(-2_000);
    });
    child.on('message', ({ seed, violation }: Sent) => {
      if (violation !== undefined) found ??= { seed, rule: violation.rule, said: violation.said };
    });
    child.on('error', reject);
    // Its messages have all come by then.
    child.on('close', (code) =>
      code === 0 ? done(found) : reject(new Error(`'${name}': the simulator ended with ${code}: ${complaints}`)),
    );
  });
}
