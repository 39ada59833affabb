import type { ClusterConfig, PoolSpec, SlotContext } from '@muster/domain';
import { slotMachine, slotStateName } from '@muster/domain';
import type { ActorKind, ActorRecord, RecordKind } from '@muster/runtime';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
function parser<T>(kind: string, ...fields: readonly string[]): (value: unknown) => T {
  return (value) => {
    if (!isObject(value)) throw new Error(`a ${kind} record is an object`);
    for (const field of fields) if (!(field in value)) throw new Error(`a ${kind} record has ${field}`);
    return value as T;
  };
}

/** Slots, in the journal of their pool's shard. */
export const slotKind: ActorKind<SlotContext> = {
  kind: 'slot',
  machine: slotMachine,
  parse(value) {
    const record = parser<{ state: never; context: SlotContext }>('slot', 'state', 'context')(value);
    slotStateName(record.state);
    parser('slot', 'id', 'epoch', 'reservation', 'org')(record.context);
    return record;
  },
};

/**
 * An actor's record as it may be shown (events, the bucket of latest records): a slot's without the request id, which is as
 * good as the reservation's token, since asking again with it is answered with that token. Journals have it, and only
 * replicas read them. Of what is no slot nothing is shown.
 */
export function shownRecord(kind: string, value: unknown): unknown {
  if (kind !== slotKind.kind) return null;
  const { state, context } = value as ActorRecord<SlotContext>;
  const { reservation } = context;
  const shown = reservation === null ? null : { id: reservation.id, ttlMs: reservation.ttlMs, source: reservation.source };
  return { state, context: { ...context, reservation: shown } };
}

/** How a request id ended; its record's id is `<org> <request id>`. */
export interface EndedRequest {
  readonly reason: string;
}
/** The last request ids that ended, oldest dropped (DESIGN 6.3): 20,000 is two minutes at 160 a second. */
export const ENDED_MAX = 20_000;
export const endedKind: RecordKind<EndedRequest> = { kind: 'ended', parse: parser('ended', 'reason'), retain: ENDED_MAX };

/** What a shard of a pool has done of the janitor's journal, and its breaker. One record, `state`. */
export interface PoolState {
  readonly intentApplied: number;
  readonly configVersion: number;
  readonly failuresInRow: number;
  readonly failureReason: string | null;
  readonly templateHash: string;
}
export const poolStateKind: RecordKind<PoolState> = {
  kind: 'pool',
  parse: parser('pool', 'intentApplied', 'configVersion', 'failuresInRow', 'templateHash'),
};

/** A worker without a slot that is about to be removed; its record's id is the slot id that it carries. */
export interface Sweep {
  readonly handle: { readonly host?: string; readonly pid?: number; readonly startTime?: string; readonly podUid?: string };
}
export const sweepKind: RecordKind<Sweep> = { kind: 'sweep', parse: parser('sweep', 'handle'), retain: 1_000 };

/** What a shard made of an intent; its record's id is the intent's number. */
export interface Applied {
  readonly started: number;
  readonly drained: number;
  readonly refused: number;
  readonly reason: string | null;
}
export const appliedKind: RecordKind<Applied> = {
  kind: 'applied',
  parse: parser('applied', 'started', 'drained', 'refused'),
  retain: 200,
};

// --- the janitor's shard -------------------------------------------------------------------------------------------

/** Pools and orgs in force. One record, `current`. */
export interface ConfigRecord {
  readonly version: number;
  readonly config: ClusterConfig;
  /** Pools that were removed: each keeps its shards until its last slot is gone. */
  readonly retired: Readonly<Record<string, PoolSpec>>;
}
export const configKind: RecordKind<ConfigRecord> = { kind: 'config', parse: parser('config', 'version', 'config', 'retired') };

export type IntentKind = 'demand' | 'surge' | 'probe' | 'down';

/** What one shard is to do of an intent, and what the decision was made from. */
export interface IntentPart {
  readonly start: number;
  readonly drain: number;
  readonly inputs: Readonly<Record<string, number | string>>;
}
/** One decision of the janitor; its record's id is its number. */
export interface Intent {
  readonly n: number;
  readonly pool: string;
  readonly kind: IntentKind;
  readonly decidedAtMs: number;
  readonly parts: Readonly<Record<string, IntentPart>>;
}
/** Decisions that are kept to be looked at; one that is not applied yet is among the newest. */
export const INTENTS_KEPT = 1_000;
export const intentKind: RecordKind<Intent> = {
  kind: 'intent',
  parse: parser('intent', 'n', 'pool', 'kind', 'parts'),
  retain: INTENTS_KEPT,
};

/** One record, `state`. */
export interface JanitorState {
  /** Number of the last intent. */
  readonly intents: number;
}
export const janitorStateKind: RecordKind<JanitorState> = { kind: 'janitor', parse: parser('janitor', 'intents') };

/** Scaling of a pool waits; its record's id is the pool. */
export interface Hold {
  readonly holdMs: number;
}
export const holdKind: RecordKind<Hold> = { kind: 'hold', parse: parser('hold', 'holdMs') };

/** A pool refuses reserves; its record's id is the pool. */
export const pauseKind: RecordKind<Readonly<Record<string, never>>> = { kind: 'pause', parse: parser('pause') };

export const STATE_ID = 'state';
export const CONFIG_ID = 'current';
