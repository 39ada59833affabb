import { join } from 'node:path';
import { isProgram } from './cache.ts';
import type { RunProgram } from './run-program.ts';

/** Homebrew's nats-server; it is installed, and starts no service. Undefined where there is no Homebrew, or it fails. */
export async function tryHomebrew(run: RunProgram, say: (line: string) => void): Promise<string | undefined> {
  if ((await run('brew', ['--version'])).code !== 0) return undefined;
  say('installing nats-server with Homebrew');
  const installed = await run('brew', ['install', 'nats-server']);
  if (installed.code !== 0) {
    say(`brew install nats-server failed: ${installed.said}`);
    return undefined;
  }
  const { stdout } = await run('brew', ['--prefix']);
  const path = join(stdout.trim(), 'bin', 'nats-server');
  return (await isProgram(path)) ? path : undefined;
}
