import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { eventually, isStopped } from '@muster/testkit';

export interface ServiceProcessOptions {
  /** Its log and its ready file have this name. */
  readonly name: string;
  readonly folder: string;
  /** Path of its main.ts. */
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

const READY_MS = 120_000;
const STOP_MS = 60_000;

/** One replica or host agent: a real process, to be killed, paused, and started again. */
export class ServiceProcess {
  readonly name: string;
  readonly #options: ServiceProcessOptions;
  readonly #readyFile: string;
  readonly #logFile: string;
  readonly #killAtExit = (): void => void this.#child?.kill('SIGKILL');
  #child: ChildProcess | undefined;

  constructor(options: ServiceProcessOptions) {
    this.name = options.name;
    this.#options = options;
    this.#readyFile = `${options.folder}/${options.name}.ready.json`;
    this.#logFile = `${options.folder}/${options.name}.log`;
    process.on('exit', this.#killAtExit);
  }

  /** Of the running process. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Starts it; resolves with what its ready file says when it says so itself. */
  async start(): Promise<{ readonly id: string; readonly pid: number; readonly http?: string }> {
    const { program, env } = this.#options;
    await rm(this.#readyFile, { force: true });
    const log = openSync(this.#logFile, 'a');
    const child = spawn(process.execPath, [program], {
      stdio: ['ignore', log, log],
      env: { PATH: process.env['PATH'], MUSTER_READY_FILE: this.#readyFile, ...env },
    });
    closeSync(log);
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    const look = async () => {
      if (this.#child !== child) return { id: '', pid: 0 };
      return JSON.parse(await readFile(this.#readyFile, 'utf8')) as { id: string; pid: number; http?: string };
    };
    const ready = await eventually(look, { timeoutMs: READY_MS, everyMs: 20 });
    if (ready.pid === 0) throw new Error(`${this.name} ended at once:\n${this.tail(20)}`);
    return ready;
  }

  /** `kill -9` */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** SIGTERM. @returns its exit code; null where a signal ended it */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) throw new Error(`${this.name} does not run`);
    child.kill('SIGTERM');
    await eventually(() => child.exitCode !== null || child.signalCode !== null, { timeoutMs: STOP_MS });
    return child.exitCode;
  }

  /** SIGSTOP; resolves when every thread of it stands. */
  async pause(): Promise<void> {
    const { pid } = this;
    process.kill(pid, 'SIGSTOP');
    await eventually(() => isStopped(pid));
  }

  /** SIGCONT */
  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async end(): Promise<void> {
    process.off('exit', this.#killAtExit);
    await this.kill();
  }

  /** All that it has written so far. */
  log(): string {
    try {
      return readFileSync(this.#logFile, 'utf8');
    } catch {
      return '';
    }
  }

  tail(lines: number): string {
    return this.log().trim().split('\n').slice(-lines).join('\n');
  }
}
