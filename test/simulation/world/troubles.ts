// Which processes something is wrong with, and since when nothing was: what checkers need to know who could have done better.
import type { Clock } from '@muster/ports';

/** What is wrong: the link itself, or the process stands still (both are noticed); everything else is not. */
export type TroubleKind = 'link' | 'pause' | 'other';

interface Touch {
  /** Undefined: all. */
  readonly name: string | undefined;
  readonly kind: TroubleKind;
  endedAtMs: number | undefined;
}

/** How long what is over is remembered. */
const KEPT_MS = 60_000;

export class Troubles {
  readonly #clock: Clock;
  #touches: Touch[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something is wrong with this process (undefined: with all), until what is given back is called. */
  begin(name: string | undefined, kind: TroubleKind = 'other'): () => void {
    const nowMs = this.#clock.monotonicMs();
    this.#touches = this.#touches.filter(({ endedAtMs }) => endedAtMs === undefined || endedAtMs > nowMs - KEPT_MS);
    const touch: Touch = { name, kind, endedAtMs: undefined };
    this.#touches.push(touch);
    return () => {
      touch.endedAtMs ??= this.#clock.monotonicMs();
    };
  }

  /** Something went wrong with it in this moment. */
  strike(name: string, kind: TroubleKind = 'other'): void {
    this.begin(name, kind)();
  }

  /** All that is wrong is over. */
  end(): void {
    for (const touch of this.#touches) touch.endedAtMs ??= this.#clock.monotonicMs();
  }

  /** Nothing was wrong with it for so long, but for what `ignored` names. */
  isWell(name: string, forMs: number, ignored: readonly TroubleKind[] = []): boolean {
    const sinceMs = this.#clock.monotonicMs() - forMs;
    return !this.#touches.some(
      (touch) =>
        (touch.name === undefined || touch.name === name) &&
        !ignored.includes(touch.kind) &&
        (touch.endedAtMs === undefined || touch.endedAtMs > sinceMs),
    );
  }
}
