// What takes time: effects of an owned shard that talk to the outside.
//
//   K1. At most `tasksMax` run at once; the rest wait, urgent ones first, each kind in the order in which they came.
//   K2. One task of a name at a time: a second call while it waits, runs or backs off does nothing.
//   K3. A task that fails is tried again by its policy; then `failed` gets the last error, once.
//   K4. After `close` no callback runs, and the signal is aborted.
import type { Clock, Random, Timer } from '@muster/ports';
import type { RetryPolicy, Turn } from '../contract.ts';

export interface TaskOptions<T> {
  readonly name: string;
  readonly retry: RetryPolicy;
  readonly isUrgent?: boolean;
  run(signal: AbortSignal): Promise<T>;
  done(turn: Turn, result: T): void;
  failed(turn: Turn, error: unknown): void;
}

interface Task {
  readonly options: TaskOptions<unknown>;
  attempts: number;
  backoff: Timer | undefined;
}

export class Tasks {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #tasksMax: number;
  readonly #turn: (run: (turn: Turn) => void) => void;
  readonly #byName = new Map<string, Task>();
  readonly #urgent: Task[] = [];
  readonly #plain: Task[] = [];
  readonly #abort = new AbortController();
  #running = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly tasksMax: number;
    readonly turn: (run: (turn: Turn) => void) => void;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#tasksMax = options.tasksMax;
    this.#turn = options.turn;
  }

  start<T>(options: TaskOptions<T>): void {
    if (this.#abort.signal.aborted || this.#byName.has(options.name)) return;
    const task: Task = { options: options, attempts: 0, backoff: undefined };
    this.#byName.set(options.name, task);
    this.#enqueue(task);
  }

  close(): void {
    this.#abort.abort();
    for (const task of this.#byName.values()) task.backoff?.cancel();
    this.#byName.clear();
    this.#urgent.length = 0;
    this.#plain.length = 0;
  }

  #enqueue(task: Task): void {
    (task.options.isUrgent === true ? this.#urgent : this.#plain).push(task);
    this.#fill();
  }

  #fill(): void {
    while (this.#running < this.#tasksMax) {
      const task = this.#urgent.shift() ?? this.#plain.shift();
      if (task === undefined) return;
      this.#running += 1;
      task.attempts += 1;
      this.#attempt(task).then(
        (result) => this.#ended(task, () => this.#finish(task, (turn) => task.options.done(turn, result))),
        (error: unknown) => this.#ended(task, () => this.#failed(task, error)),
      );
    }
  }

  async #attempt(task: Task): Promise<unknown> {
    return task.options.run(this.#abort.signal);
  }

  #ended(task: Task, go: () => void): void {
    this.#running -= 1;
    if (this.#abort.signal.aborted || this.#byName.get(task.options.name) !== task) return;
    go();
    this.#fill();
  }

  #failed(task: Task, error: unknown): void {
    const { attemptsMax, firstDelayMs, delayMaxMs } = task.options.retry;
    if (task.attempts >= attemptsMax) {
      this.#finish(task, (turn) => task.options.failed(turn, error));
      return;
    }
    const delayMs = Math.min(delayMaxMs, firstDelayMs * 2 ** Math.min(task.attempts - 1, 30));
    task.backoff = this.#clock.setTimer(delayMs * (0.5 + this.#random.next() / 2), () => {
      task.backoff = undefined;
      this.#enqueue(task);
    });
  }

  /** The name is free before the callback runs, so that it can start the next one of this name. */
  #finish(task: Task, run: (turn: Turn) => void): void {
    this.#byName.delete(task.options.name);
    this.#turn(run);
  }
}
