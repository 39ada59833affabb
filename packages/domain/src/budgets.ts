/**
 * Every deadline of Muster, ms: the one table (DESIGN 10). What must hold between them is in budgets.test.ts, with why;
 * `spawn`, `activation`, `lease`, `parked` and `waitMax` are defaults of a pool's configuration.
 */
export const BUDGETS = {
  /** From the decision to start a worker to its hello. */
  spawnMs: 5 * 60_000,
  /** A worker that the cluster has no room for is held so long: it is the signal that makes room appear. */
  heldMs: 30 * 60_000,
  activationMs: 10_000,
  /** A driver's call to start one worker, which may have to wait for 49 others on two cores. */
  createTimeoutMs: 30_000,
  /** From SIGTERM to SIGKILL. */
  stopGraceMs: 10_000,
  /** What the end of a worker may take after SIGKILL. */
  stopHardMs: 30_000,
  leaseMs: 60_000,
  parkedMs: 60_000,
  /** A shard that is silent for so long is taken over (T). */
  takeoverMs: 1_500,
  askMs: 5_000,
  retryHintMs: 1_000,
  retryHintMaxMs: 30_000,
  beatMs: 2_000,
  /** A worker that is silent for so long is shown as unreachable. */
  beatLostMs: 10_000,
  waiterRepeatMs: 2_000,
  waiterLeavesMs: 5_000,
  waitMaxMs: 30_000,
  tickMs: 5_000,
  coalesceMs: 25,
  sweepMs: 60_000,
  /** A worker without a slot that is younger may have a slot that is on its way. */
  orphanAgeMs: 2 * 60_000,
  /** Renewals of one shard share a confirm for so long. */
  renewConfirmMs: 250,
  /** A note that nobody waits for (a worker is active) goes with the next record, or alone after so long. */
  noteMs: 20,
  holdMs: 5 * 60_000,
  /** A worker that nobody answers, and that serves nobody, stops itself after so long. */
  orphanAfterMs: 10 * 60_000,
} as const;
