import type { Clock, Random } from '@muster/ports';

const FIRST_MS = 20;
const MAX_MS = 200;

/** How long to wait before the next try after `failures` in a row (from 0): 20 to 200 ms, growing, with jitter. */
export function backoffMs(failures: number, random: Random): number {
  const ceiling = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures + 1, 10));
  return FIRST_MS + random.next() * (ceiling - FIRST_MS);
}

/** Resolves after `delayMs`. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(delayMs, resolve);
  });
}
