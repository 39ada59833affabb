// What a scale-up looked like, from the cluster's own records: a pure evaluation of what was seen of intents and slots.
//
// All moments are on this process's monotonic clock. Those of slots come from their age in a state as a replica gave it
// (by the stream's time stamps), those of intents from their time stamp against this machine's clock.
import type { IntentSummary } from '@muster/protocol';
import { roundTo } from '../measure/numbers.ts';

/** One slot, as far as it was seen. */
export interface SlotSighting {
  readonly intent: number;
  /** When it became `spawning`: its start command leaves with that record. */
  readonly spawningMs: number | undefined;
  /** When it left `spawning` for a state in which it can serve. */
  readonly readyMs: number | undefined;
}

export interface ScaleUpInput {
  /** When the first request that found nothing warm was sent, or a held pool was resumed; undefined: nothing was missed. */
  readonly firstMissMs: number | undefined;
  /** Workers wanted: one for each tenant. */
  readonly wanted: number;
  /** Warm ones before the first request. */
  readonly warmBefore: number;
  /** Newest intent of any pool before the run; those up to it are not the run's. */
  readonly intentBefore: number;
  /** Intents of the pool as of the moment when all were served. */
  readonly intents: readonly IntentSummary[];
  /** Of this process: a wall time on the monotonic clock. */
  readonly toMonotonicMs: (wallMs: number) => number;
  readonly slots: readonly SlotSighting[];
}

export interface ScaleUp {
  /** Decisions that started slots, from the first miss until all were served. */
  readonly intents: number;
  /** Slots that these started. */
  readonly slotsStarted: number;
  readonly firstMissToIntentMs: number | null;
  readonly firstMissToLastStartMs: number | null;
  readonly firstMissToWantedWarmMs: number | null;
}

const NOTHING_MISSED: ScaleUp = {
  intents: 0,
  slotsStarted: 0,
  firstMissToIntentMs: null,
  firstMissToLastStartMs: null,
  firstMissToWantedWarmMs: null,
};

export function evaluateScaleUp(input: ScaleUpInput): ScaleUp {
  const { firstMissMs, wanted, warmBefore, slots, toMonotonicMs } = input;
  // Where nobody missed anything, what was started fills up what was taken.
  if (firstMissMs === undefined) return NOTHING_MISSED;
  const ups = upIntents(input.intents, input.intentBefore);
  const slotsStarted = ups.reduce((sum, intent) => sum + startedOf(intent), 0);
  const numbers = new Set(ups.map(({ n }) => n));
  const started = slots.filter(({ intent }) => numbers.has(intent));
  const decidedMs = ups.map(({ decidedAtMs }) => toMonotonicMs(decidedAtMs));
  const spawningMs = started.flatMap((slot) => slot.spawningMs ?? []);
  const readyMs = started.flatMap((slot) => slot.readyMs ?? []).sort((one, other) => one - other);
  // Only where every one of them was seen is the last one the last.
  const lastStartMs = spawningMs.length < slotsStarted ? undefined : latest(spawningMs);
  const wantedReadyMs = wanted <= warmBefore ? firstMissMs : readyMs[wanted - warmBefore - 1];
  const since = (ms: number | undefined): number | null => (ms === undefined ? null : roundTo(Math.max(0, ms - firstMissMs), 1));
  return {
    intents: ups.length,
    slotsStarted,
    firstMissToIntentMs: since(decidedMs.length === 0 ? undefined : Math.min(...decidedMs)),
    firstMissToLastStartMs: since(lastStartMs),
    firstMissToWantedWarmMs: since(wantedReadyMs),
  };
}

/** Decisions after `intentBefore` that start slots. */
export function upIntents(intents: readonly IntentSummary[], intentBefore: number): readonly IntentSummary[] {
  return intents.filter(({ n, kind }) => n > intentBefore && kind !== 'down');
}

/** What its shards made of it; what a shard has not said yet counts as ordered. */
export function startedOf({ slots, applied }: IntentSummary): number {
  return Object.entries(slots).reduce((sum, [shard, ordered]) => sum + (applied[shard]?.started ?? ordered), 0);
}

function latest(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.max(...values);
}
