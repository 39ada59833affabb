import type { PoolSummary } from '@muster/protocol';
import { formatMs } from '../../output/format.ts';
import type { LatencyHistogram } from '../measure/latency-histogram.ts';

export interface ProgressInput {
  readonly seconds: number;
  /** Undefined where no replica answered. */
  readonly pool: PoolSummary | undefined;
  /** Of the last second. */
  readonly queries: LatencyHistogram;
  readonly missed: number;
  readonly missAnswers: number;
  readonly errors: number;
}

/** One line a second, for people. */
export function progressLine({ seconds, pool, queries, missed, missAnswers, errors }: ProgressInput): string {
  const workers =
    pool === undefined
      ? 'no replica answers'
      : `${pool.warm} warm ${pool.spawning} spawning ${pool.reserved} reserved ${pool.draining} draining ${pool.waiting + pool.refused} waiting`;
  const time = (ms: number | null): string => (ms === null ? '-' : formatMs(ms));
  const latency = `p50 ${time(queries.percentileMs(0.5))} p99 ${time(queries.percentileMs(0.99))}`;
  const refusals = missAnswers === 0 ? '' : ` (${missAnswers} refusals)`;
  return `${String(seconds).padStart(4)} s | ${workers} | ${queries.count} queries/s ${latency} | ${missed} misses${refusals} | ${errors} errors`;
}
