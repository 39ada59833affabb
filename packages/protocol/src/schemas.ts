import { z } from 'zod';

/** One subject token as ids use it. */
export const idSchema = (max = 128) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/, 'may have letters, digits, - and _ only')
    .max(max);
/** An org's id: a part of subjects, labels and folders. */
export const orgSchema = idSchema(64);
/** Lower case, as Kubernetes names things; `--` is kept for the parts of a pool. */
export const poolSchema = z
  .string()
  .max(40)
  .regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, 'must be lower case letters, digits and single dashes, starting with a letter')
  .refine((name) => name !== 'janitor', "may not be 'janitor'");

/** Limits of the public requests; docs/reference/limits.md lists them. */
export const LIMITS = {
  waitMsMax: 10 * 60_000,
  ttlMsMin: 1_000,
  ttlMsMax: 24 * 3_600_000,
  activationBytesMax: 32 * 1024,
  activationDepthMax: 64,
  renewalsMax: 1_000,
} as const;

const durationMs = (min: number, max: number) => z.number().int().min(min).max(max);
const activationSchema = z
  .record(z.string(), z.unknown())
  // Before it is measured: writing what is nested without end ends the stack.
  .refine((value) => isShallow(value), { message: `may be nested ${LIMITS.activationDepthMax} deep at the most`, abort: true })
  .refine(
    (value) => JSON.stringify(value).length <= LIMITS.activationBytesMax,
    `may have at most ${LIMITS.activationBytesMax} bytes as JSON`,
  );

function isShallow(value: unknown, left: number = LIMITS.activationDepthMax): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return left > 0 && Object.values(value).every((inner) => isShallow(inner, left - 1));
}

/** `muster.v1.reserve.<pool>` (DESIGN 6.1). */
export const reserveRequestSchema = z.strictObject({
  org: orgSchema,
  /** How long to wait for a worker, ms; 0 or absent: a miss at once. */
  waitMs: durationMs(0, LIMITS.waitMsMax).optional(),
  /** The lease, ms; absent: the pool's. */
  ttlMs: durationMs(LIMITS.ttlMsMin, LIMITS.ttlMsMax).optional(),
  /** Asking again with it gives the same reservation. */
  requestId: idSchema().optional(),
  /** How long the sender waits for the answer to this message, ms, counted by the replica that takes it: it asks no longer. */
  deadlineMs: durationMs(1, LIMITS.waitMsMax).optional(),
  /** Passed to the worker; may be secret; never stored. */
  activation: activationSchema.optional(),
});
export type ReserveRequest = z.infer<typeof reserveRequestSchema>;

/** A reservation as its holder names it: an epoch that is over is refused. */
export const reservationRefSchema = z.strictObject({ id: idSchema(), epoch: z.number().int().min(1) });
export type ReservationRef = z.infer<typeof reservationRefSchema>;
/** `muster.v1.renew`, `muster.v1.release`: one, or a list. */
export const reservationRefsSchema = z.union([reservationRefSchema, z.array(reservationRefSchema).min(1).max(LIMITS.renewalsMax)]);

/** `muster.v1.cancel`. */
export const cancelRequestSchema = z.strictObject({ pool: poolSchema, org: orgSchema, requestId: idSchema() });

/** What the owner of a pool's shard is asked (`muster.v1.shard.<shard>.cmd`, as `body`). */
export const shardCommandSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('reserve'),
    org: orgSchema,
    requestId: idSchema(),
    /** False: made by the replica that took the request; a miss of it is demand of the org, not of the id. */
    isIdGiven: z.boolean(),
    waitMs: durationMs(0, LIMITS.waitMsMax),
    ttlMs: durationMs(LIMITS.ttlMsMin, LIMITS.ttlMsMax).optional(),
    /** How long this request has waited already, before a repeat. */
    waitedMs: durationMs(0, LIMITS.waitMsMax).default(0),
    activation: activationSchema.optional(),
  }),
  z.strictObject({ type: z.literal('renew'), reservations: z.array(reservationRefSchema).min(1).max(LIMITS.renewalsMax) }),
  z.strictObject({ type: z.literal('release'), reservations: z.array(reservationRefSchema).min(1).max(LIMITS.renewalsMax) }),
  z.strictObject({ type: z.literal('cancel'), org: orgSchema, requestId: idSchema() }),
  /** Drains one slot by hand: a warm one, or with `force` a reserved one. */
  z.strictObject({ type: z.literal('drain'), slot: idSchema(), force: z.boolean().default(false) }),
]);
export type ShardCommand = z.infer<typeof shardCommandSchema>;

/** Commands of a pool's shard that clients may give (`muster.v1.shard.<shard>.request`); the others are for replicas. */
export const CLIENT_COMMANDS: ReadonlySet<unknown> = new Set<ShardCommand['type']>(['reserve', 'renew', 'release', 'cancel']);

/** Why a reserve got nothing (DESIGN 6.3). Only `warm-capacity-exhausted` is demand. */
export const MISS_REASONS = [
  'warm-capacity-exhausted',
  'org-cap',
  'pool-cap',
  'pool-unknown',
  'pool-paused',
  'spawn-failing',
  'overloaded',
  'shutting-down',
  'activation-failed',
] as const;
export type MissReason = (typeof MISS_REASONS)[number];

export interface Miss {
  readonly reason: MissReason;
  readonly retryAfterMs: number;
  /** Place in the queue when it gave up waiting, from 1. */
  readonly position?: number;
  /** The last spawn failure, or the worker's words. */
  readonly detail?: string;
}

export interface Reservation {
  readonly id: string;
  readonly slot: string;
  readonly org: string;
  readonly epoch: number;
  readonly endpoint: string;
  /** Secret: what the worker wants from whoever calls it. */
  readonly token: string;
  readonly subject: string;
  readonly ttlMs: number;
}

export interface ErrorAnswer {
  readonly ok: false;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly field?: string;
    readonly reason?: string;
    readonly retryAfterMs?: number;
  };
}
export type ReserveAnswer =
  | { readonly ok: true; readonly reservation: Reservation; readonly source: 'warm' | 'parked' | 'waited'; readonly waitedMs: number }
  | { readonly ok: false; readonly miss: Miss }
  | ErrorAnswer;
/** In the order asked. */
export type RenewAnswer = { readonly ok: true; readonly results: readonly RefResult[] } | ErrorAnswer;
export type RefResult =
  | { readonly id: string; readonly ok: true; readonly ttlMs?: number }
  | {
      readonly id: string;
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string; readonly reason?: string };
    };

// --- the janitor's shard -------------------------------------------------------------------------------------------

/** Names that a cut carries at the most, of each kind. */
export const CUT_NAMES_MAX = 50;

/** A cut (DESIGN 7.1): all numbers absolute, of one instant of acknowledged state, ordered by (epoch, seq, n). */
export const cutSchema = z.strictObject({
  shard: z.string(),
  pool: z.string(),
  epoch: z.number().int(),
  seq: z.number().int(),
  n: z.number().int(),
  intentApplied: z.number().int(),
  configVersion: z.number().int(),
  waiting: z.number().int(),
  refused: z.number().int(),
  oldestWaitMs: z.number(),
  warm: z.number().int(),
  warmOldTemplate: z.number().int(),
  spawning: z.number().int(),
  reserved: z.number().int(),
  parked: z.number().int(),
  draining: z.number().int(),
  unreachable: z.number().int(),
  /** For people to look at, at most `CUT_NAMES_MAX` each: silent slots, and waiters by org. */
  silent: z.array(z.string()),
  waitingOf: z.record(z.string(), z.number().int()),
  /** spawning + warm + reserved (parked included) + draining. */
  alive: z.number().int(),
  /** Slots that were started from open intents' numbers and failed are simply gone: the next cut asks again. */
  breaker: z.strictObject({ isOpen: z.boolean(), failuresInRow: z.number().int(), reason: z.string().optional(), isProbeDue: z.boolean() }),
  /** The driver's capacity as this owner sees it, for pools without `max`. */
  capacity: z.union([
    z.strictObject({ kind: z.literal('unbounded') }),
    z.strictObject({ kind: z.literal('unknown'), why: z.string() }),
    z.strictObject({ kind: z.literal('bounded'), max: z.number().int(), why: z.string() }),
  ]),
});
export type Cut = z.infer<typeof cutSchema>;

/** What the owner of the janitor's shard is asked, through `muster.v1.admin` or its shard's subject. */
export const janitorCommandSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('hold'), pool: poolSchema, holdMs: durationMs(1_000, 3_600_000).optional() }),
  z.strictObject({ type: z.literal('pause'), pool: poolSchema }),
  z.strictObject({ type: z.literal('resume'), pool: poolSchema }),
  /** The whole configuration of pools and orgs, already in its compiled form (`ClusterConfig` of the pool package). */
  z.strictObject({
    type: z.literal('apply'),
    config: z.unknown().refine((value) => isShallow(value), `may be nested ${LIMITS.activationDepthMax} deep at the most`),
  }),
]);
export type JanitorCommand = z.infer<typeof janitorCommandSchema>;

// --- workers -------------------------------------------------------------------------------------------------------

/** Hello and beat of a worker (DESIGN 8). */
export const workerBeatSchema = z.strictObject({
  instance: idSchema(64),
  endpoint: z.string().max(256),
  version: z.string().max(64),
  pid: z.number().int(),
  token: z.string().max(128),
  epoch: z.number().int(),
  /** The reservation that it serves, by id. */
  reservation: z.string().max(200).nullable(),
  /** Whose that is. A NATS that lost writes may give one id twice, so without it `active` confirms no reservation. */
  org: orgSchema.optional(),
  state: z.enum(['idle', 'active', 'draining']),
});
export type WorkerBeat = z.infer<typeof workerBeatSchema>;

/** The answer to a hello: go on, or stop (another instance has the slot, or there is no such slot). */
export const helloAnswerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('welcome'), beatMs: z.number().int() }),
  z.object({ type: z.literal('stop'), reason: z.string() }),
  /** Not known yet (the owner has just changed): say hello again. */
  z.object({ type: z.literal('again'), afterMs: z.number().int() }),
]);
export type HelloAnswer = z.infer<typeof helloAnswerSchema>;

/** Commands to a worker, on `muster.v1.worker.<shard>.<slot>.<instance>.cmd`. */
export const workerCommandSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('activate'),
    slot: z.string(),
    instance: z.string(),
    epoch: z.number().int(),
    reservation: z.string(),
    org: z.string(),
    pool: z.string(),
    /** What the holder will show; secret. */
    token: z.string(),
    activation: activationSchema,
  }),
  /** Closes the epoch: parked. The worker keeps its org. */
  z.object({ type: z.literal('release'), slot: z.string(), instance: z.string(), epoch: z.number().int(), reservation: z.string() }),
  /** Forget the org and everything of it. */
  z.object({ type: z.literal('reset'), slot: z.string(), instance: z.string(), epoch: z.number().int(), reservation: z.string() }),
  /** Finish what is running and exit within `graceMs`. */
  z.object({
    type: z.literal('drain'),
    slot: z.string(),
    instance: z.string(),
    epoch: z.number().int(),
    reservation: z.string(),
    graceMs: z.number().int(),
  }),
  /** Says what it is, as a beat does. */
  z.object({ type: z.literal('status'), slot: z.string(), instance: z.string(), epoch: z.number().int(), reservation: z.string() }),
]);
export type WorkerCommand = z.infer<typeof workerCommandSchema>;

/** A worker's answer. `cause: request` means: another worker would refuse it too. */
export const workerAnswerSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), endpoint: z.string().optional(), beat: workerBeatSchema.optional() }),
  z.object({ ok: z.literal(false), cause: z.enum(['request', 'worker', 'stale']), message: z.string().max(2_000) }),
]);
export type WorkerAnswer = z.infer<typeof workerAnswerSchema>;

// --- hosts ---------------------------------------------------------------------------------------------------------

/** `muster.v1.host.<host>.beat`: what a host agent says of itself. */
export const hostBeatSchema = z.object({
  host: idSchema(64),
  cluster: z.string(),
  /** Which driver's workers it runs: `process` or `simulated`. */
  kind: z.enum(['process', 'simulated']),
  pid: z.number().int(),
  memoryBudgetBytes: z.number(),
  /** How the budget came about, for the start-up line: `75 % of 24.0 GiB`. */
  memoryBudgetWhy: z.string(),
  workers: z.number().int(),
  load: z.number(),
  /** It is being stopped in order: nothing more is to be started there. With no workers left it has left. */
  isLeaving: z.boolean().optional(),
});
export type HostBeat = z.infer<typeof hostBeatSchema>;

const workerStatusSchema = z.object({
  slot: z.string(),
  shard: z.string(),
  handle: z.object({
    host: z.string().optional(),
    pid: z.number().optional(),
    startTime: z.string().optional(),
    podUid: z.string().optional(),
  }),
  state: z.enum(['starting', 'running', 'exited', 'unschedulable', 'unreachable']),
  reason: z.string().optional(),
  ageMs: z.number(),
});
/** `muster.v1.host.<host>.worker`. */
export const hostWorkerSchema = workerStatusSchema;

/** Commands to a host agent, on `muster.v1.host.<host>.driver`. */
export const hostCommandSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('create'),
    slot: idSchema(),
    shard: z.string(),
    pool: z.string(),
    /** The agent starts it only where its own configuration's pool names the same command. */
    command: z.array(z.string()).optional(),
    env: z.record(z.string(), z.string()),
    memoryBytes: z.number(),
    token: z.string(),
    /** What the worker proves to NATS who it is with. */
    natsCredentials: z.string().max(8_192).optional(),
  }),
  z.object({ type: z.literal('destroy'), slot: idSchema(), handle: workerStatusSchema.shape.handle, graceMs: z.number().int() }),
  /**
   * What it has, by slot, page by page, so that an answer stays below the limit of a message. `after` is the last slot of
   * the page before: so no worker is left out that was there all the time.
   */
  z.object({ type: z.literal('list'), after: idSchema().optional() }),
]);
export type HostCommand = z.infer<typeof hostCommandSchema>;
/** A host agent's answer to a command. */
export const hostAnswerSchema = z.union([
  z.object({
    ok: z.literal(true),
    kind: z.enum(['created', 'exited']),
    handle: workerStatusSchema.shape.handle.optional(),
    reason: z.string().optional(),
  }),
  z.object({ ok: z.literal(true), kind: z.literal('gone') }),
  z.object({ ok: z.literal(true), kind: z.literal('list'), workers: z.array(workerStatusSchema), hasMore: z.boolean() }),
  z.object({ ok: z.literal(false), reason: z.string(), retryable: z.boolean() }),
]);
export type HostAnswer = z.infer<typeof hostAnswerSchema>;

// --- pools, as a client learns them ------------------------------------------------------------------------------

export interface PoolsAnswer {
  readonly ok: true;
  readonly cluster: string;
  readonly pools: readonly { readonly pool: string; readonly shards: readonly string[] }[];
}
