// `muster.yaml` as it is written: strict, every value with its limits and its default in one place.
import { BUDGETS, parseDuration, parseSize } from '@muster/domain';
import { z } from 'zod';
import { orgSchema, poolSchema } from '../schemas.ts';

/** A duration with its limits, in ms afterwards. */
function duration(defaultText: string, minMs: number, maxMs: number) {
  return z
    .union([z.string(), z.literal(0)], 'must be a duration like 500ms, 60s or 5m')
    .default(defaultText)
    .transform((value, context): number => {
      try {
        const ms = parseDuration(String(value));
        if (ms >= minMs && ms <= maxMs) return ms;
        context.addIssue({ code: 'custom', message: `must be ${minMs} to ${maxMs} ms, not ${ms}` });
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
      }
      return z.NEVER;
    });
}

const size = (minBytes: number) =>
  z.string('must be a size like 256MiB or 18GiB').transform((value, context): number => {
    try {
      const bytes = parseSize(value);
      if (bytes >= minBytes) return bytes;
      context.addIssue({ code: 'custom', message: `must be ${minBytes} bytes or more, not ${bytes}` });
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
    return z.NEVER;
  });

const count = (max: number) => z.number().int().min(0).max(max);
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

const workerSchema = z.strictObject({
  command: z.array(z.string().min(1)).min(1).max(100).optional(),
  memory: size(1024 * 1024).default(256 * 1024 * 1024),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a name of an environment variable'),
      z.union([z.string(), z.number(), z.boolean()]).transform(String),
    )
    .refine(
      (env) => !Object.keys(env).some((name) => name.startsWith('MUSTER_') && RESERVED_ENV.has(name)),
      'may not set what Muster sets itself',
    )
    .default({}),
});
const RESERVED_ENV = new Set(['MUSTER_NATS_URL', 'MUSTER_CLUSTER', 'MUSTER_SLOT', 'MUSTER_SHARD', 'MUSTER_TOKEN']);

/** One pool as it is written. */
export const poolConfigSchema = z
  .strictObject({
    driver: z.enum(['process', 'simulated']),
    worker: workerSchema.prefault({}),
    floor: count(100_000).default(0),
    max: count(1_000_000).default(0),
    shards: z.number().int().min(1).max(64).default(1),
    recycle: z.enum(['single-use', 'same-org', 'shared']).default('same-org'),
    parkedTtl: duration('60s', 0, DAY),
    leaseTtl: duration('60s', 1_000, DAY),
    waitMax: duration('30s', 0, 10 * MINUTE),
    scaleDown: z.strictObject({ after: duration('60s', 1_000, DAY), every: duration('30s', 1_000, DAY) }).prefault({}),
    breaker: z.strictObject({ failures: z.number().int().min(1).max(1_000).default(5) }).prefault({}),
    waitersMax: z.number().int().min(1).max(100_000).default(10_000),
    refusedPerOrgMax: z.number().int().min(1).max(1_000).default(10),
    surge: z.number().min(0).max(1).default(0.25),
    spawn: duration(`${BUDGETS.spawnMs}ms`, 1_000, 60 * MINUTE),
    activation: duration(`${BUDGETS.activationMs}ms`, 100, 5 * MINUTE),
  })
  .refine((pool) => pool.driver !== 'process' || pool.worker.command !== undefined, {
    path: ['worker', 'command'],
    message: 'is needed by the process driver',
  });

/** The whole file as it is written. */
export const clusterFileSchema = z.strictObject({
  cluster: z.strictObject({ name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be lower case letters, digits and -, at most 32') }),
  nats: z
    .strictObject({
      servers: z
        .array(z.string().regex(/^(nats|tls|ws|wss):\/\//, 'must be an address like nats://127.0.0.1:4222'))
        .min(1)
        .max(20),
    })
    .optional(),
  host: z.strictObject({ memoryBudget: size(1024 * 1024).optional() }).prefault({}),
  pools: z.record(poolSchema, poolConfigSchema).refine((pools) => Object.keys(pools).length <= 200, 'may be at most 200'),
  orgs: z
    .record(orgSchema, z.strictObject({ max: count(1_000_000).default(0), weight: z.number().min(0.01).max(1_000).default(1) }))
    .refine((orgs) => Object.keys(orgs).length <= 10_000, 'may be at most 10,000')
    .default({}),
});
export type ClusterFile = z.output<typeof clusterFileSchema>;
