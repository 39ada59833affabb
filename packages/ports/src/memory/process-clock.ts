import type { Clock, Timer } from '../clock.ts';

/**
 * The clock of one simulated process, on the world's clock. A process that lives on timers and messages alone is stopped
 * and killed by its clock: a `MemoryBus` with this clock handles what arrives by it.
 */
export class ProcessClock implements Clock {
  readonly #world: Clock;
  #state: 'running' | 'paused' | 'killed' = 'running';
  /** What became due while the process stood still, in its order. */
  #held: (() => void)[] = [];

  constructor(world: Clock) {
    this.#world = world;
  }

  get isKilled(): boolean {
    return this.#state === 'killed';
  }

  monotonicMs(): number {
    return this.#world.monotonicMs();
  }

  wallMs(): number {
    return this.#world.wallMs();
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    let isCancelled = false;
    const run = (): void => {
      if (isCancelled || this.#state === 'killed') return;
      if (this.#state === 'paused') this.#held.push(run);
      else fire();
    };
    const timer = this.#world.setTimer(delayMs, run);
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  /** SIGSTOP: time goes on, and nothing happens. */
  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  /** SIGCONT: what became due meanwhile happens now, each in a turn of its own, in its order. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.#world.setTimer(0, run);
  }

  /** `kill -9`: nothing happens any more. */
  kill(): void {
    this.#state = 'killed';
    this.#held = [];
  }
}
