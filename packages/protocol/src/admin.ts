// What is asked on `muster.v1.admin`, and what any replica answers: reads for people (from the replica's read model, which
// may be a moment old) and administration. Every answer is `{ok: true, ...}` or an ErrorAnswer.
import { type Ceiling, type RecyclePolicy, SLOT_STATES, type SlotStateName } from '@muster/domain';
import { z } from 'zod';
import { idSchema, orgSchema, poolSchema } from './schemas.ts';

/** Limits of administration; docs/reference/limits.md lists them. */
export const ADMIN_LIMITS = {
  /** Rows of one page of `slots` and `orgs`. */
  pageRows: 500,
  /** Intents of one answer. */
  intentsMax: 200,
  /** A configuration as text, characters. */
  yamlCharsMax: 48 * 1024,
  holdMsMin: 1_000,
  holdMsMax: 3_600_000,
} as const;

const pageSchema = z.number().int().min(0).max(100_000).default(0);

/** `muster.v1.admin`. */
export const adminRequestSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('status') }),
  z.strictObject({ type: z.literal('pools') }),
  z.strictObject({
    type: z.literal('slots'),
    pool: poolSchema.optional(),
    state: z.enum(SLOT_STATES).optional(),
    org: orgSchema.optional(),
    /** From 0; pages of `ADMIN_LIMITS.pageRows`, in order of slot id. */
    page: pageSchema,
  }),
  /** Live reservations, in order of slot id. */
  z.strictObject({ type: z.literal('reservations'), pool: poolSchema.optional(), org: orgSchema.optional(), page: pageSchema }),
  z.strictObject({ type: z.literal('orgs'), page: pageSchema }),
  z.strictObject({ type: z.literal('hosts') }),
  z.strictObject({
    type: z.literal('intents'),
    pool: poolSchema.optional(),
    /** The newest so many, newest first. */
    limit: z.number().int().min(1).max(ADMIN_LIMITS.intentsMax).default(50),
  }),
  /** Why a pool scales as it does (with `org`: what that org has there), or where a slot, or that of a reservation, comes from. */
  z.strictObject({ type: z.literal('explain'), of: idSchema(), org: orgSchema.optional() }),
  /** Scaling of the pool waits; reserves go on and wait. Ends by itself after `holdMs` (absent: 5 min). */
  z.strictObject({
    type: z.literal('hold'),
    pool: poolSchema,
    holdMs: z.number().int().min(ADMIN_LIMITS.holdMsMin).max(ADMIN_LIMITS.holdMsMax).optional(),
  }),
  /** The pool refuses reserves, also those that wait, until it is resumed; who has a reservation keeps it. */
  z.strictObject({ type: z.literal('pause'), pool: poolSchema }),
  /** Ends a hold and a pause. */
  z.strictObject({ type: z.literal('resume'), pool: poolSchema }),
  /** Drains one slot by hand: a warm or parked one, or with `force` a reserved one. */
  z.strictObject({ type: z.literal('drain'), slot: idSchema(), force: z.boolean().default(false) }),
  /** Pools and orgs of a configuration file replace those of the cluster; the replica validates the text as a whole. */
  z.strictObject({
    type: z.literal('apply'),
    yaml: z.string().max(ADMIN_LIMITS.yamlCharsMax, `may have at most ${ADMIN_LIMITS.yamlCharsMax} characters`),
  }),
  /** A silent host that will never come back: its workers count as gone. */
  z.strictObject({ type: z.literal('forget-host'), host: idSchema(64) }),
]);
/** A request as it is after parsing, defaults filled in. */
export type AdminRequest = z.output<typeof adminRequestSchema>;
/** A request as it may be sent. */
export type AdminRequestInput = z.input<typeof adminRequestSchema>;

export interface ReplicaSummary {
  readonly id: string;
  /** Address of its HTTP, `http://127.0.0.1:8080`; null where it serves none. */
  readonly http: string | null;
  readonly isAlive: boolean;
  /** Shards that it owns, by its own beats. */
  readonly shards: readonly string[];
}

export interface ShardSummary {
  readonly shard: string;
  /** Replica that wrote the last epoch record; null before the first. */
  readonly owner: string | null;
  readonly epoch: number;
  /** Position of its last record in the stream. */
  readonly seq: number;
  /** Decides nothing now, as far as the answering replica knows (it owns it, and it is frozen). */
  readonly isFrozen: boolean;
}

/** A pool's slots by state, summed over its shards. */
export interface PoolSummary {
  readonly pool: string;
  readonly driver: string;
  readonly shards: readonly string[];
  readonly floor: number;
  /** As configured: 0 is no cap of its own. */
  readonly max: number;
  /** What bounds it where `max` is 0. */
  readonly capacity: Ceiling;
  readonly recycle: RecyclePolicy;
  readonly templateHash: string;
  readonly isHeld: boolean;
  /** It refuses reserves. */
  readonly isPaused: boolean;
  /** Of the hold, from now; null where it is not held. */
  readonly holdLeftMs: number | null;
  readonly isBreakerOpen: boolean;
  /** The last spawn failure while the breaker is open. */
  readonly breakerReason: string | null;
  readonly waiting: number;
  readonly refused: number;
  readonly warm: number;
  readonly spawning: number;
  /** Activating, active and resetting; parked ones are not in it. */
  readonly reserved: number;
  readonly parked: number;
  readonly draining: number;
  readonly unreachable: number;
}

export interface StatusAnswer {
  readonly ok: true;
  readonly cluster: string;
  /** The replica that answers. */
  readonly replica: string;
  readonly version: string;
  readonly configVersion: number;
  readonly replicas: readonly ReplicaSummary[];
  readonly shards: readonly ShardSummary[];
  readonly pools: readonly PoolSummary[];
}

export interface PoolListAnswer {
  readonly ok: true;
  readonly pools: readonly PoolSummary[];
}

export interface SlotSummary {
  readonly slot: string;
  readonly pool: string;
  readonly shard: string;
  readonly state: SlotStateName;
  /** In this state, by the stream's time stamps. */
  readonly ageMs: number;
  readonly org: string | null;
  /** Of the newest reservation; 0 before the first. */
  readonly epoch: number;
  /** The live reservation. */
  readonly reservation: string | null;
  readonly intent: number;
  readonly host: string | null;
  readonly pid: number | null;
  readonly endpoint: string | null;
  readonly isUnreachable: boolean;
  /** Why it is draining, or what keeps it from being placed. */
  readonly reason: string | null;
}

export interface SlotListAnswer {
  readonly ok: true;
  readonly slots: readonly SlotSummary[];
  readonly page: number;
  readonly hasMore: boolean;
}

export interface ReservationSummary {
  readonly id: string;
  readonly slot: string;
  readonly pool: string;
  readonly org: string | null;
  readonly epoch: number;
  /** Its worker is being told, or has said yes. */
  readonly state: 'activating' | 'active';
  readonly ageMs: number;
  readonly endpoint: string | null;
  readonly isUnreachable: boolean;
}

export interface ReservationListAnswer {
  readonly ok: true;
  readonly reservations: readonly ReservationSummary[];
  readonly page: number;
  readonly hasMore: boolean;
}

export interface OrgSummary {
  readonly org: string;
  /** In each pool; 0 is no cap. */
  readonly max: number;
  readonly weight: number;
  /** Pools where it has something, or waits. */
  readonly pools: readonly { readonly pool: string; readonly reserved: number; readonly parked: number; readonly waiting: number }[];
}

export interface OrgListAnswer {
  readonly ok: true;
  readonly orgs: readonly OrgSummary[];
  readonly page: number;
  readonly hasMore: boolean;
}

/** A host as the answering replica hears it. */
export interface HostSummary {
  readonly host: string;
  readonly isSilent: boolean;
  readonly silentMs: number;
  readonly memoryBudgetBytes: number;
  readonly workers: number;
  readonly pid: number;
}

export interface HostListAnswer {
  readonly ok: true;
  readonly hosts: readonly HostSummary[];
}

/** One decision of the janitor, with what led to it (DESIGN 7.2). */
export interface IntentSummary {
  readonly n: number;
  readonly pool: string;
  /** `demand`, `surge`, `probe` start slots; `down` drains them. */
  readonly kind: string;
  /** The stream's time stamp of the decision, ms since 1970. */
  readonly decidedAtMs: number;
  /** The numbers that led to it, by shard, as the janitor journaled them. */
  readonly inputs: unknown;
  /** How many slots it starts (or drains) in each shard. */
  readonly slots: Readonly<Record<string, number>>;
  /** What each shard has made of it so far. */
  readonly applied: Readonly<
    Record<string, { readonly started: number; readonly drained: number; readonly refused: number; readonly reason: string | null }>
  >;
}

export interface IntentListAnswer {
  readonly ok: true;
  /** Newest first. */
  readonly intents: readonly IntentSummary[];
}

export interface ExplainAnswer {
  readonly ok: true;
  readonly of: string;
  readonly kind: 'pool' | 'slot';
  /** Sentences, in the order to be read. */
  readonly says: readonly string[];
}

export interface HoldAnswer {
  readonly ok: true;
  readonly pool: string;
  /** From now; 0 after a resume. */
  readonly holdLeftMs: number;
}

export interface PauseAnswer {
  readonly ok: true;
  readonly pool: string;
}

export interface DrainAnswer {
  readonly ok: true;
  readonly slot: string;
}

export interface ApplyAnswer {
  readonly ok: true;
  /** Of the configuration that is now in force. */
  readonly configVersion: number;
  /** False where the cluster had exactly this already. */
  readonly isChanged: boolean;
  /** What start-up or apply has to say of it: an unbounded pool, a floor above its max. */
  readonly warnings: readonly string[];
}

export interface ForgetHostAnswer {
  readonly ok: true;
  readonly host: string;
}

/** The answer to each type of request, when it is not an ErrorAnswer. */
export interface AdminAnswers {
  readonly status: StatusAnswer;
  readonly pools: PoolListAnswer;
  readonly slots: SlotListAnswer;
  readonly reservations: ReservationListAnswer;
  readonly orgs: OrgListAnswer;
  readonly hosts: HostListAnswer;
  readonly intents: IntentListAnswer;
  readonly explain: ExplainAnswer;
  readonly hold: HoldAnswer;
  readonly pause: PauseAnswer;
  readonly resume: HoldAnswer;
  readonly drain: DrainAnswer;
  readonly apply: ApplyAnswer;
  readonly 'forget-host': ForgetHostAnswer;
}
export type AdminAnswer = AdminAnswers[keyof AdminAnswers];
