import { expect, test } from 'vitest';
import { SpawnPace } from './spawn-pace.ts';

test('failures of what was under way when the breaker opened do not put off its first probe', () => {
  const pace = new SpawnPace();
  for (const nowMs of [1_000, 1_001, 1_002, 1_200, 1_201, 1_300]) pace.failed(nowMs);
  expect(pace.isProbeDue(5_900)).toBe(false);
  expect(pace.isProbeDue(6_000)).toBe(true);
  pace.failed(6_100);
  expect(pace.isProbeDue(16_000)).toBe(false);
  expect(pace.isProbeDue(16_100)).toBe(true);
});
