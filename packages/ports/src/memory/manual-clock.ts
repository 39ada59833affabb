// A clock that stands still until it is told to go.
//
//   K1. Timers fire in the order of their due time, those of one instant in the order in which they were set.
//   K2. While a timer fires the clock shows exactly its due time: nothing is ever late, unless a test jumps (`jump`).
import { setImmediate } from 'node:timers/promises';
import TinyQueue from 'tinyqueue';
import type { Clock, Timer } from '../clock.ts';

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  fire: (() => void) | undefined;
}

/** More timers than this at one instant are taken for a loop that never lets time pass. */
const FIRES_PER_INSTANT_MAX = 1_000_000;

/** Virtual time. The same calls in the same order give the same run. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #live = 0;
  #firesAtNow = 0;
  readonly #queue = new TinyQueue<Entry>([], inOrder);
  readonly #wallOffsetMs: number;

  constructor(options: { readonly wallMs?: number } = {}) {
    this.#wallOffsetMs = options.wallMs ?? Date.UTC(2026, 0, 1);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs;
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    const entry: Entry = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fire };
    this.#queue.push(entry);
    this.#live += 1;
    return {
      cancel: () => {
        if (entry.fire === undefined) return;
        entry.fire = undefined;
        this.#live -= 1;
      },
    };
  }

  /** Timers that are set and have not fired. */
  get pendingTimers(): number {
    return this.#live;
  }

  /** When the next timer is due, on `monotonicMs`; undefined where none is set. */
  get nextDueMs(): number | undefined {
    let first = this.#queue.peek();
    while (first !== undefined && first.fire === undefined) {
      this.#queue.pop();
      first = this.#queue.peek();
    }
    return first?.dueMs;
  }

  /** Lets `ms` pass and fires what becomes due, without a pause for promises between. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.#fireNext(endMs));
    this.#moveTo(endMs);
  }

  /** Lets `ms` pass without firing anything, as for a process that was stopped: what became due fires late, at the next step. */
  jump(ms: number): void {
    this.#moveTo(this.#nowMs + ms);
  }

  /** Lets `ms` pass; after every timer all promises that can go on do so before the next one fires. */
  async run(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await this.settle();
    while (this.#fireNext(endMs)) await this.settle();
    this.#moveTo(endMs);
  }

  /**
   * Fires the next timer, whenever it is due, and lets promises go on.
   * @returns false where no timer is set
   */
  async step(): Promise<boolean> {
    await this.settle();
    if (!this.#fireNext(Number.POSITIVE_INFINITY)) return false;
    await this.settle();
    return true;
  }

  /**
   * Steps until `isDone` says so.
   * @throws Error after `withinMs` of virtual time (default 60 s), or when nothing is left to fire
   */
  async runUntil(isDone: () => boolean, withinMs = 60_000): Promise<void> {
    const endMs = this.#nowMs + withinMs;
    await this.settle();
    while (!isDone()) {
      if (!this.#fireNext(endMs)) {
        throw new Error(`not reached after ${withinMs} ms of virtual time (${this.#live} timers left): ${String(isDone)}`);
      }
      await this.settle();
    }
  }

  /**
   * Steps until no timer is left.
   * @throws Error after `withinMs` of virtual time: something keeps setting timers
   */
  async runUntilIdle(withinMs = 60_000): Promise<void> {
    await this.runUntil(() => this.#live === 0, withinMs);
  }

  /** The outcome of a promise that needs time to pass. @throws what it throws; Error after `withinMs` of virtual time */
  async resolve<T>(promise: Promise<T>, withinMs = 60_000): Promise<T> {
    let isSettled = false;
    const settled = promise.finally(() => {
      isSettled = true;
    });
    // Whoever awaits `settled` below sees the rejection; until then it must not count as unobserved.
    settled.catch(() => undefined);
    await this.runUntil(() => isSettled, withinMs);
    return settled;
  }

  /** Lets every promise go on that waits for nothing but other promises. */
  async settle(): Promise<void> {
    await setImmediate();
  }

  #moveTo(ms: number): void {
    if (ms > this.#nowMs) {
      this.#nowMs = ms;
      this.#firesAtNow = 0;
    }
  }

  #fireNext(endMs: number): boolean {
    const dueMs = this.nextDueMs;
    if (dueMs === undefined || dueMs > endMs) return false;
    const entry = this.#queue.pop();
    const fire = entry?.fire;
    if (entry === undefined || fire === undefined) return false;
    this.#moveTo(dueMs);
    this.#firesAtNow += 1;
    if (this.#firesAtNow > FIRES_PER_INSTANT_MAX) throw new Error(`timers keep firing at ${this.#nowMs} ms: time does not pass`);
    entry.fire = undefined;
    this.#live -= 1;
    fire();
    return true;
  }
}

function inOrder(one: Entry, other: Entry): number {
  return one.dueMs - other.dueMs || one.order - other.order;
}
