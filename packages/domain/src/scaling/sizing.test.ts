import fc from 'fast-check';
import { expect, test } from 'vitest';
import { shareOf } from './share.ts';
import { type ShardSupply, slotsToDrain, slotsToStart, surgeOf, surplusOf } from './sizing.ts';

const cold: ShardSupply = { floor: 5, ceiling: { kind: 'unbounded' }, waiting: 30, refused: 0, warm: 0, spawning: 0, alive: 0, ordered: 0 };

test('floor 5 and 30 waiters in a cold pool make exactly 35, and 0 once they are ordered', () => {
  expect(slotsToStart(cold)).toBe(35);
  expect(slotsToStart({ ...cold, ordered: 35 })).toBe(0);
  expect(slotsToStart({ ...cold, spawning: 35, alive: 35 })).toBe(0);
});

test('a cap holds what is started down to its room; unknown starts nothing; bounded by 0 starts nothing', () => {
  expect(slotsToStart({ ...cold, ceiling: { kind: 'bounded', max: 11, why: '' } })).toBe(11);
  expect(slotsToStart({ ...cold, ceiling: { kind: 'bounded', max: 11, why: '' }, alive: 8, ordered: 2, spawning: 0 })).toBe(1);
  expect(slotsToStart({ ...cold, ceiling: { kind: 'unknown', why: 'no host' } })).toBe(0);
  expect(slotsToStart({ ...cold, ceiling: { kind: 'bounded', max: 0, why: '' } })).toBe(0);
});

test('Z1, Z2: for every state of affairs, ordering what is asked for leaves nothing to ask for', () => {
  const count = fc.nat({ max: 200 });
  fc.assert(
    fc.property(
      fc.record({ floor: count, waiting: count, refused: count, warm: count, spawning: count, ordered: count, max: count }),
      (r) => {
        const alive = r.warm + r.spawning;
        const supply: ShardSupply = { ...r, alive, ceiling: { kind: 'bounded', max: r.max, why: '' } };
        const started = slotsToStart(supply);
        expect(started).toBeLessThanOrEqual(Math.max(0, r.floor + r.waiting + r.refused - alive - r.ordered));
        expect(started === 0 || alive + r.ordered + started <= r.max).toBe(true);
        expect(slotsToStart({ ...supply, ordered: r.ordered + started })).toBe(0);
      },
    ),
  );
});

test('Z3: shrinking goes by quarters and ends at the floor', () => {
  let warm = 35;
  const steps: number[] = [];
  for (;;) {
    const drain = slotsToDrain(surplusOf({ warm, floor: 5, waiting: 0, refused: 0 }));
    if (drain === 0) break;
    steps.push(drain);
    warm -= drain;
  }
  expect(warm).toBe(5);
  expect(steps[0]).toBe(7);
  expect(surplusOf({ warm: 35, floor: 5, waiting: 30, refused: 0 })).toBe(0);
});

test('shares add up to the whole, and differ by one at most', () => {
  fc.assert(
    fc.property(fc.nat({ max: 1000 }), fc.integer({ min: 1, max: 20 }), (whole, parts) => {
      const shares = Array.from({ length: parts }, (_, part) => shareOf(whole, parts, part));
      expect(shares.reduce((a, b) => a + b, 0)).toBe(whole);
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
    }),
  );
});

test('the surge is at least 1 while something old is warm, and nothing otherwise', () => {
  expect(surgeOf(5, 0.25, 5)).toBe(1);
  expect(surgeOf(20, 0.25, 20)).toBe(5);
  expect(surgeOf(20, 0.25, 2)).toBe(2);
  expect(surgeOf(20, 0.25, 0)).toBe(0);
});
