// The timers of an owned shard, by name.
//
//   T1. A timer that was set anew or cleared does not fire, also when it was due.
//   T2. Nothing fires while the shard is frozen; what became due meanwhile fires when it thaws.
//   T3. `external` timers do not age while the shard is frozen or this process does not run.
import type { Clock, Timer } from '@muster/ports';
import TinyQueue from 'tinyqueue';
import type { ClockKind } from '../contract.ts';

interface Entry<F> {
  readonly name: string;
  readonly dueMs: number;
  readonly order: number;
  readonly fire: F;
  isLive: boolean;
}

/** Fired in one go before others get their turn. */
const FIRES_AT_ONCE_MAX = 200;

/** Timers of one kind of clock, earliest first. */
class TimerQueue<F> {
  #queue = new TinyQueue<Entry<F>>([], inOrder);
  readonly #byName = new Map<string, Entry<F>>();
  #order = 0;

  set(name: string, dueMs: number, fire: F): void {
    this.clear(name);
    const entry = { name, dueMs, order: this.#order++, fire, isLive: true };
    this.#byName.set(name, entry);
    this.#queue.push(entry);
  }

  clear(name: string): boolean {
    const entry = this.#byName.get(name);
    if (entry === undefined) return false;
    entry.isLive = false;
    this.#byName.delete(name);
    // Cleared ones stay in the queue until they come up, unless they are most of it.
    if (this.#queue.length > 64 && this.#queue.length > 4 * this.#byName.size) {
      this.#queue = new TinyQueue([...this.#byName.values()], inOrder);
    }
    return true;
  }

  get nextDueMs(): number | undefined {
    let first = this.#queue.peek();
    while (first?.isLive === false) {
      this.#queue.pop();
      first = this.#queue.peek();
    }
    return first?.dueMs;
  }

  /** Takes the earliest one, if it is due. */
  take(nowMs: number): F | undefined {
    const dueMs = this.nextDueMs;
    // Sums of floating point numbers: due by less than this is due.
    if (dueMs === undefined || dueMs > nowMs + 0.001) return undefined;
    const entry = this.#queue.pop() as Entry<F>;
    this.#byName.delete(entry.name);
    return entry.fire;
  }
}

function inOrder<F>(one: Entry<F>, other: Entry<F>): number {
  return one.dueMs - other.dueMs || one.order - other.order;
}

export interface TimersOptions<F> {
  readonly clock: Clock;
  /** Time that this process lost so far, ms (`LoopWatch.lost`), looked at anew. */
  readonly lostMs: () => number;
  readonly run: (fire: F) => void;
}

export class Timers<F> {
  readonly #options: TimersOptions<F>;
  readonly #internal = new TimerQueue<F>();
  readonly #external = new TimerQueue<F>();
  #armed: Timer | undefined;
  #armedMs = Number.POSITIVE_INFINITY;
  #pausedMs = 0;
  #pausedSinceMs: number | undefined;
  #isClosed = false;

  constructor(options: TimersOptions<F>) {
    this.#options = options;
  }

  set(name: string, delayMs: number, clock: ClockKind, fire: F): void {
    if (this.#isClosed) return;
    this.clear(name);
    if (clock === 'internal') this.#internal.set(name, this.#options.clock.monotonicMs() + delayMs, fire);
    else this.#external.set(name, this.#activeMs() + delayMs, fire);
    this.#arm();
  }

  clear(name: string): void {
    if (!this.#internal.clear(name)) this.#external.clear(name);
  }

  /** The shard froze or thawed. */
  setPaused(isPaused: boolean): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (isPaused && this.#pausedSinceMs === undefined) {
      this.#pausedMs = nowMs - this.#activeMs();
      this.#pausedSinceMs = nowMs;
    } else if (!isPaused && this.#pausedSinceMs !== undefined) {
      const activeMs = this.#pausedSinceMs - this.#pausedMs;
      this.#pausedSinceMs = undefined;
      // What the process lost while it was paused is part of the pause, not on top of it.
      this.#pausedMs = nowMs - activeMs - this.#options.lostMs();
      this.#arm();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#armed?.cancel();
  }

  /** Time as `external` timers count it. */
  #activeMs(): number {
    if (this.#pausedSinceMs !== undefined) return this.#pausedSinceMs - this.#pausedMs;
    return this.#options.clock.monotonicMs() - this.#options.lostMs() - this.#pausedMs;
  }

  #arm(): void {
    if (this.#isClosed || this.#pausedSinceMs !== undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    const externalMs = this.#external.nextDueMs;
    const dueMs = Math.min(
      this.#internal.nextDueMs ?? Number.POSITIVE_INFINITY,
      externalMs === undefined ? Number.POSITIVE_INFINITY : externalMs - this.#activeMs() + nowMs,
    );
    if (this.#armed !== undefined && this.#armedMs === dueMs) return;
    this.#armed?.cancel();
    this.#armed = undefined;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#armedMs = dueMs;
    this.#armed = this.#options.clock.setTimer(Math.max(0, dueMs - nowMs), () => {
      this.#armed = undefined;
      this.#fireDue();
    });
  }

  #fireDue(): void {
    for (let fired = 0; fired < FIRES_AT_ONCE_MAX && !this.#isClosed && this.#pausedSinceMs === undefined; fired++) {
      const fire = this.#internal.take(this.#options.clock.monotonicMs()) ?? this.#external.take(this.#activeMs());
      if (fire === undefined) break;
      this.#options.run(fire);
    }
    this.#arm();
  }
}
