import { execFile } from 'node:child_process';

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  /** Last lines of what it said, for a message. */
  readonly said: string;
}

/** Runs a program to its end; never throws: one that cannot be started ends with 127. */
export type RunProgram = (command: string, args: readonly string[], options?: { readonly cwd?: string }) => Promise<ProgramResult>;

const TIMEOUT_MS = 5 * 60_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

export const runProgram: RunProgram = (command, args, options = {}) =>
  new Promise((resolve) => {
    const settings = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) };
    execFile(command, [...args], settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      const said = lastLine(stderr) || lastLine(stdout) || error?.message || '';
      resolve({ code, stdout, said });
    });
  });

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
