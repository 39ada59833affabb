import type { NatsTarget } from '../../cluster/find-servers.ts';
import type { HistogramData } from '../measure/latency-histogram.ts';

/** What the load is made on: the cluster, or the bare messages and appends beside it. */
export type TargetName = 'muster' | 'skeleton';

/** How the load of one process looks. */
export type LoadShape =
  /** So many clients, each asking again when it has released. */
  | { readonly kind: 'closed'; readonly clients: number }
  /** So many a second, whatever comes back; with as many clients at the most. */
  | { readonly kind: 'open'; readonly perSecond: number; readonly clients: number; readonly offsetMs: number }
  /** So many at once; released when all are answered. */
  | { readonly kind: 'burst'; readonly clients: number };

export type LoadCall =
  | {
      readonly type: 'connect';
      readonly nats: NatsTarget;
      readonly pool: string;
      readonly skeletonSubject: string;
      /** Begins the names of its orgs; no other process has it. */
      readonly orgPrefix: string;
    }
  /** Each client reserves and releases once, unmeasured. */
  | { readonly type: 'prepare'; readonly target: TargetName; readonly clients: number }
  | {
      readonly type: 'run';
      readonly target: TargetName;
      readonly shape: LoadShape;
      /** On the machine's clock, so that all processes begin together. */
      readonly startWallMs: number;
      /** Unmeasured, from the start. */
      readonly warmUpMs: number;
      readonly durationMs: number;
      /** Orgs of this round only, instead of the same ones again. */
      readonly round?: string;
    };

/** Grants of one round, as columns: there may be a hundred thousand. */
export interface GrantColumns {
  /** Names that `slot` points into. */
  readonly slots: readonly string[];
  readonly slot: Uint32Array;
  readonly epoch: Float64Array;
  /** On the machine's clock, ms. */
  readonly grantedMs: Float64Array;
  readonly releasingMs: Float64Array;
}

/** What one process measured in one round. */
export interface LoadResult {
  /** Reservations with activation and release that ended within the measured time; of a burst, all. */
  readonly cycles: number;
  readonly offered: number;
  /** From when it was due (open loop) or asked (closed loop) until the release was answered. */
  readonly cycle: HistogramData;
  /** Until the reservation was answered. */
  readonly reserve: HistogramData;
  readonly release: HistogramData;
  /** How late requests of an open loop were sent: the load's own share of its latencies. */
  readonly late: HistogramData;
  /** Of a burst: until the last one was answered, from the start. */
  readonly allAnsweredMs: number;
  readonly misses: number;
  readonly errors: number;
  readonly errorSamples: readonly string[];
  readonly grants: GrantColumns;
  /** Releases that were told that the reservation was not theirs any more. */
  readonly refusedReleases: readonly { readonly reservation: string; readonly why: string }[];
}
