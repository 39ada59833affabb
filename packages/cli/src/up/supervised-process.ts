// One process of the cluster, kept running.
//
// Invariants:
//   S1. It is a session of its own: a Ctrl-C in the terminal, or the death of `muster up`, does not end it.
//   S2. One that ends is started again, at once the first time, then with growing pauses; one that ran for a while counts
//       from the beginning again.
//   S3. After `stop` it is not started again, also when a start was due.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Clock, Timer } from '@muster/ports';
import { identityOf, type ProcessIdentity } from '../cluster/process-identity.ts';
import { endProcesses } from './end-processes.ts';

const FIRST_PAUSE_MS = 100;
const PAUSE_MS_MAX = 10_000;
const STABLE_MS = 30_000;
const LOG_TAIL_CHARS = 4_000;

/** How to start it this time. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
}

export interface SupervisedOptions {
  readonly name: string;
  readonly logFile: string;
  readonly clock: Clock;
  /** Asked before each start. */
  readonly launch: () => Launch;
  readonly started: (identity: ProcessIdentity) => void;
  /** It ended by itself and will be started again after `againMs`; `failures` in a row, this one included. */
  readonly ended: (how: string, againMs: number, failures: number) => void;
}

export class SupervisedProcess {
  readonly name: string;
  readonly #options: SupervisedOptions;
  #identity: ProcessIdentity | undefined;
  #failures = 0;
  #startedMs = 0;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** The process that runs now. */
  get identity(): ProcessIdentity | undefined {
    return this.#identity;
  }

  start(): void {
    if (this.#isStopped) return;
    const { launch, logFile, clock } = this.#options;
    const { command, args, env, folder } = launch();
    const log = openSync(logFile, 'a', 0o600);
    let child: ChildProcess;
    try {
      child = spawn(command, args, { cwd: folder, env, detached: true, stdio: ['ignore', log, log] });
    } finally {
      closeSync(log);
    }
    this.#startedMs = clock.monotonicMs();
    // Without a pid it could not be started: only 'error' is emitted.
    child.once('error', (error) => {
      if (child.pid === undefined) this.#onEnd(error.message);
    });
    if (child.pid === undefined) return;
    child.once('exit', (code, signal) => this.#onEnd(signal ?? `exit ${code}`));
    this.#identity = identityOf(child.pid);
    if (this.#identity !== undefined) this.#options.started(this.#identity);
  }

  /** Ends it for good: SIGTERM, SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    if (this.#identity !== undefined) await endProcesses([this.#identity], this.#options.clock, graceMs);
    this.#identity = undefined;
  }

  /** The last lines that it wrote. */
  logTail(lines: number): readonly string[] {
    try {
      const text = readFileSync(this.#options.logFile, 'utf8');
      return text.slice(-LOG_TAIL_CHARS).trim().split('\n').slice(-lines);
    } catch {
      return [];
    }
  }

  #onEnd(how: string): void {
    this.#identity = undefined;
    if (this.#isStopped) return;
    const { clock, ended } = this.#options;
    if (clock.monotonicMs() - this.#startedMs > STABLE_MS) this.#failures = 0;
    this.#failures += 1;
    const againMs = Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    ended(how, againMs, this.#failures);
    if (!this.#isStopped) this.#timer = clock.setTimer(againMs, () => this.start());
  }
}
