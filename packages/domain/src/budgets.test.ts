import { expect, test } from 'vitest';
import { BUDGETS as b } from './budgets.ts';

const rules: readonly (readonly [string, number, number])[] = [
  ['a lease outlives a takeover and three tries to renew it', 3 * b.askMs + b.takeoverMs, b.leaseMs],
  ['a renewal at a third leaves two more tries', b.leaseMs / 3 + 2 * b.askMs, b.leaseMs],
  ['an ask outlives a takeover', 2 * b.takeoverMs, b.askMs],
  ['a waiter that repeats stays, also when one repeat is lost', 2 * b.waiterRepeatMs, b.waiterLeavesMs],
  ['a worker is silent only after three lost beats', 3 * b.beatMs, b.beatLostMs],
  ['a legal spawn is not swept while it starts', b.createTimeoutMs, b.orphanAgeMs],
  ['a create that has been given up is older than any that is on its way', 2 * b.createTimeoutMs, b.orphanAgeMs],
  ['a spawn outlives its create', b.createTimeoutMs, b.spawnMs],
  ['a stop lasts longer than its grace', b.stopGraceMs, b.stopHardMs],
  ['one activation fits in the wait of its request', b.activationMs, b.waitMaxMs],
  ['an orphan stops itself later than any takeover and any silence', b.beatLostMs + b.takeoverMs, b.orphanAfterMs],
  ['misses are gathered for less than anybody notices', b.coalesceMs, b.tickMs],
  ['a shared confirm delays a renewal less than its tries are apart', b.renewConfirmMs, b.askMs],
  ['an activation that takes all its time leaves most of the lease', 2 * b.activationMs, b.leaseMs],
  ['a worker is missed before its lease has run out', b.beatLostMs + b.takeoverMs, b.leaseMs],
  ['a waiter comes back before the next tick counts it', b.waiterRepeatMs, b.tickMs],
  ['a stop that is slow is not the end of the next spawn', b.stopHardMs + b.createTimeoutMs, b.spawnMs],
  ['an orphan has been missed by a sweep and a takeover before it may be removed', b.sweepMs + b.takeoverMs, b.orphanAgeMs],
  ['an idle worker that nobody answers outlives a restart of everything and a spawn', b.spawnMs + b.beatLostMs, b.orphanAfterMs],
  ['room may take longer to appear than a worker to start in it', b.spawnMs, b.heldMs],
  ['whoever holds a pool can renew the hold many times', 10 * b.tickMs, b.holdMs],
  ['the hint of a miss is at most half a minute', b.retryHintMs, b.retryHintMaxMs],
];

test.each(rules)('%s', (_why, less, more) => {
  expect(less).toBeLessThan(more);
});

test('the age gate of a sweep is two minutes or more, whatever the others are', () => {
  expect(b.orphanAgeMs).toBeGreaterThanOrEqual(120_000);
});
