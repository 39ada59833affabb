import type { RunProgram } from './run-program.ts';

/** `2.10.4` of a nats-server that can be run; undefined otherwise. */
export async function versionOf(program: string, run: RunProgram): Promise<string | undefined> {
  const { code, stdout } = await run(program, ['--version']);
  return code === 0 ? /v?(\d+\.\d+\.\d+)/.exec(stdout)?.[1] : undefined;
}
