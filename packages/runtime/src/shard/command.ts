// A command on its way through a shard: from the mailbox to its answer.
import type { Clock } from '@muster/ports';
import type { ErrorCode } from '@muster/protocol';
import type { Command } from '../contract.ts';

/** What an asker gets instead of an answer. */
export interface CommandError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly field?: string;
  readonly retryAfterMs?: number;
}

/** Takes the answer to whoever asked. */
export interface Asker {
  /** False: a `tell`. */
  readonly isWaiting: boolean;
  answer(epoch: number, value: unknown): void;
  refuse(epoch: number, error: CommandError): void;
}

export class Inbound implements Command {
  readonly body: unknown;
  readonly id: string | undefined;
  readonly deadlineMs: number;
  /** Appends of the shard's chain that were sent before it came: only a later one lets its answer out. */
  readonly arrival: number;
  readonly #asker: Asker;
  readonly #clock: Clock;
  /** Called when it is answered or refused. */
  onAnswered: (() => void) | undefined;
  #isAnswered: boolean;

  constructor(options: {
    readonly body: unknown;
    readonly id: string | undefined;
    readonly deadlineMs: number;
    readonly arrival: number;
    readonly asker: Asker;
    readonly clock: Clock;
  }) {
    this.body = options.body;
    this.id = options.id;
    this.deadlineMs = options.deadlineMs;
    this.arrival = options.arrival;
    this.#asker = options.asker;
    this.#clock = options.clock;
    this.#isAnswered = !options.asker.isWaiting;
  }

  get isSettled(): boolean {
    return this.#isAnswered || this.#clock.monotonicMs() > this.deadlineMs;
  }

  /** The first answer counts. */
  answer(epoch: number, value: unknown): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.onAnswered?.();
    this.#asker.answer(epoch, value);
  }

  refuse(epoch: number, error: CommandError): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.onAnswered?.();
    this.#asker.refuse(epoch, error);
  }
}
