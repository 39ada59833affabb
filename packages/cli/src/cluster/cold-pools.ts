import type { PoolSummary } from '@muster/protocol';

/** What is missing until every pool has its floor, counted with what tenants have; undefined where nothing is. */
export function tryDescribeCold(pools: readonly PoolSummary[]): string | undefined {
  const cold = pools.filter((pool) => pool.warm + pool.reserved + pool.parked < floorWithin(pool));
  return cold.length === 0 ? undefined : cold.map(describeCold).join('; ');
}

/** The floor as far as the pool's cap lets it be. */
function floorWithin({ floor, max, capacity }: PoolSummary): number {
  if (max > 0) return Math.min(floor, max);
  return capacity.kind === 'bounded' ? Math.min(floor, capacity.max) : floor;
}

function describeCold(pool: PoolSummary): string {
  const { floor, warm, spawning, isHeld, isBreakerOpen, breakerReason, capacity } = pool;
  const why = isBreakerOpen
    ? `, spawns fail: ${breakerReason ?? 'no reason given'}`
    : isHeld
      ? ', held'
      : capacity.kind === 'unknown'
        ? `, ${capacity.why}`
        : '';
  return `${pool.pool} has ${warm} of ${floor} warm, ${spawning} spawning${why}`;
}
