import type { Metrics } from '@muster/ports';
import type { MissReason } from '@muster/protocol';

/** Buckets of the reserve latency, seconds, from 50 µs (DESIGN 11). */
const RESERVE_BUCKETS = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const;

export interface ReserveMeters {
  missed(pool: string, reason: MissReason): void;
  /** `outcome` is `granted` or the reason of the miss; from its arrival at the shard's owner. */
  reserved(pool: string, outcome: string, source: string, seconds: number): void;
}

/** Meters of one replica's part in the pools; docs/reference/metrics.md lists them. */
export class PoolMeters implements ReserveMeters {
  readonly #misses;
  readonly #reserve;
  readonly #spawnFailures;
  readonly #intents;
  readonly #slots;
  readonly #waiters;

  constructor(metrics: Metrics) {
    this.#misses = metrics.counter({
      name: 'muster_misses_total',
      help: 'Reserve requests answered with a miss',
      labels: ['pool', 'reason'],
    });
    this.#reserve = metrics.histogram({
      name: 'muster_reserve_seconds',
      help: 'From the arrival of a request at the owner of its shard to its answer, the yes of its worker included',
      labels: ['pool', 'outcome', 'source'],
      buckets: RESERVE_BUCKETS,
    });
    this.#spawnFailures = metrics.counter({
      name: 'muster_spawn_failures_total',
      help: 'Workers that did not come up',
      labels: ['pool', 'reason'],
    });
    this.#intents = metrics.counter({
      name: 'muster_intents_total',
      help: 'Decisions of the janitor, where it ran',
      labels: ['pool', 'kind'],
    });
    this.#slots = metrics.gauge({ name: 'muster_slots', help: 'Slots of the shards that this replica owns', labels: ['pool', 'state'] });
    this.#waiters = metrics.gauge({
      name: 'muster_waiters',
      help: 'Waiting requests of the shards that this replica owns',
      labels: ['pool'],
    });
  }

  missed(pool: string, reason: MissReason): void {
    this.#misses.add({ pool, reason });
  }
  reserved(pool: string, outcome: string, source: string, seconds: number): void {
    this.#reserve.observe(seconds, { pool, outcome, source });
  }
  spawnFailed(pool: string, reason: string): void {
    this.#spawnFailures.add({ pool, reason });
  }
  decided(pool: string, kind: string): void {
    this.#intents.add({ pool, kind });
  }
  /** Sets the gauges anew; `pools` has what is owned here now. */
  show(pools: Iterable<{ readonly pool: string; readonly states: Readonly<Record<string, number>>; readonly waiting: number }>): void {
    this.#slots.reset();
    this.#waiters.reset();
    const sums = new Map<string, number>();
    for (const { pool, states, waiting } of pools) {
      for (const [state, count] of Object.entries(states)) {
        const key = `${pool} ${state}`;
        sums.set(key, (sums.get(key) ?? 0) + count);
        this.#slots.set(sums.get(key) ?? 0, { pool, state });
      }
      sums.set(pool, (sums.get(pool) ?? 0) + waiting);
      this.#waiters.set(sums.get(pool) ?? 0, { pool });
    }
  }
}
