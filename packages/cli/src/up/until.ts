import type { Clock } from '@muster/ports';

export interface UntilOptions {
  readonly clock: Clock;
  /** Between two looks; default 50 ms. */
  readonly everyMs?: number;
  /** Given up after this; absent: never. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Looks until there is something.
 * @returns undefined where the time is over
 * @throws the signal's reason; what the look throws
 */
export async function until<T>(look: () => T | undefined | Promise<T | undefined>, options: UntilOptions): Promise<T | undefined> {
  const { clock, everyMs = 50, timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
  const endMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (clock.monotonicMs() >= endMs) return undefined;
    await new Promise<void>((resolve) => {
      clock.setTimer(everyMs, resolve);
    });
  }
}
