import { expect, test } from 'vitest';
import { SystemClock } from './system-clock.ts';
import { SystemRandom } from './system-random.ts';

test('a timer of the system never fires early, and not at all when taken back', async () => {
  const clock = new SystemClock();
  const fire = async (delayMs: number): Promise<number> => {
    const sinceMs = clock.monotonicMs();
    await new Promise<void>((resolve) => clock.setTimer(delayMs, resolve));
    return clock.monotonicMs() - sinceMs - delayMs;
  };
  let isFired = false;
  const timer = clock.setTimer(1, () => {
    isFired = true;
  });
  timer.cancel();
  const earliest = await Promise.all([0, 1, 2, 3, 5, 8, 13, -1].map((delayMs) => fire(Math.max(0, delayMs))));
  expect(Math.min(...earliest)).toBeGreaterThanOrEqual(0);
  expect(isFired).toBe(false);
});

test('a delay beyond what Node can count does not fire at once', async () => {
  const clock = new SystemClock();
  let isFired = false;
  const timer = clock.setTimer(2 ** 40, () => {
    isFired = true;
  });
  await new Promise<void>((resolve) => clock.setTimer(20, resolve));
  timer.cancel();
  expect(isFired).toBe(false);
});

test('ids of the system are of the alphabet, of the length wanted, and never the same', () => {
  const random = new SystemRandom();
  const ids = Array.from({ length: 2000 }, () => random.id());
  expect(new Set(ids).size).toBe(2000);
  expect(ids.every((id) => /^[0-9a-z]{16}$/.test(id))).toBe(true);
  expect(random.id(3)).toHaveLength(3);
  expect(random.next()).toBeLessThan(1);
});
