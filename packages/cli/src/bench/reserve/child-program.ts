// A process of the bench's own, which does what it is told over Node's channel to its children.
//
// Invariants:
//   P1. Every call is answered, or fails: at its deadline, or when the process ends.
//   P2. It ends with its scope, and with this process: a child whose channel is cut ends itself.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import type { Clock, Timer } from '@muster/ports';
import { CliError } from '../../exit.ts';

const END_MS = 3_000;

interface Pending {
  readonly timer: Timer;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What goes to a child, and what comes back. */
export interface Call {
  readonly id: number;
  readonly body: unknown;
}
export type CallAnswer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string };

export class ChildProgram implements AsyncDisposable {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #isEnded = false;

  /** @param module of this folder, without its extension */
  constructor(module: string, clock: Clock) {
    this.#name = module;
    this.#clock = clock;
    const path = join(import.meta.dirname, `${module}${extname(import.meta.filename)}`);
    this.#child = fork(path, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
    this.#child.on('message', (message) => this.#onAnswer(message as CallAnswer));
    this.#child.on('error', (error) => this.#onEnd(error.message));
    this.#child.once('exit', (code, signal) => this.#onEnd(signal ?? `exit ${code}`));
  }

  /** @throws CliError `timeout`, or `internal` with what the child said, or how it ended */
  call<T>(body: unknown, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#isEnded) return reject(new CliError('internal', `the bench's ${this.#name} has ended`));
      const id = ++this.#calls;
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.#pending.delete(id);
        reject(new CliError('timeout', `the bench's ${this.#name} did not answer in ${timeoutMs} ms`));
      });
      this.#pending.set(id, { timer, resolve: (value) => resolve(value as T), reject });
      this.#child.send({ id, body } satisfies Call);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return;
    const exited = once(this.#child, 'exit');
    const late = this.#clock.setTimer(END_MS, () => this.#child.kill('SIGKILL'));
    if (this.#child.connected) this.#child.disconnect();
    await exited;
    late.cancel();
  }

  #onAnswer(answer: CallAnswer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    this.#pending.delete(answer.id);
    pending.timer.cancel();
    if (answer.ok) pending.resolve(answer.value);
    else pending.reject(new CliError('internal', `the bench's ${this.#name}: ${answer.message}`));
  }

  #onEnd(how: string): void {
    this.#isEnded = true;
    for (const { timer, reject } of this.#pending.values()) {
      timer.cancel();
      reject(new CliError('internal', `the bench's ${this.#name} ended: ${how}`));
    }
    this.#pending.clear();
  }
}
