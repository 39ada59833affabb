// The large run in a process that may use the memory that it needs.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { runScale, scaleLines } from './scale.ts';
import { LARGE } from './scale-plan.ts';

/** What lives long is most of it; what does not is mostly messages, which larger half-spaces let die young. */
const MEMORY = ['--max-old-space-size=7000', '--max-semi-space-size=128'];

/** @returns the exit code */
export async function runInLargeProcess(): Promise<number> {
  const child = fork(resolve(import.meta.dirname, '../simulate.ts'), ['--large'], { execArgv: MEMORY });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** In that process. */
export async function serveScale(): Promise<void> {
  try {
    const result = await runScale(LARGE, (line) => console.log(line));
    for (const line of scaleLines(LARGE, result)) console.log(line);
  } catch (error) {
    console.log(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
  process.disconnect();
}
