// `muster.yaml` as it is written: strict, every value with its limits and its default in one place.
import { parseDuration, parseSize } from '@muster/domain';
import { z } from 'zod';
import { orgSchema, poolSchema } from '../schemas.ts';
import { podTemplateOf, problemsOfPodTemplate, RESERVED_ENV } from './pod-template.ts';

/** A duration, in ms afterwards. Limits are written as people read them; 0 needs no unit. */
function duration(defaultText: string, min: string, max: string) {
  const limits = `a duration, ${min} to ${max}`;
  return z
    .union([z.string(), z.literal(0)], 'must be a duration like 500ms, 60s or 5m')
    .meta({ limits })
    .default(defaultText)
    .transform(read((text) => parseDuration(text), parseDuration(min), parseDuration(max), limits));
}

/** A size, in bytes afterwards. */
function size(min: string) {
  const limits = `a size, ${min} or more`;
  return z
    .string('must be a size like 256MiB or 18GiB')
    .meta({ limits })
    .transform(read((text) => parseSize(text), parseSize(min), Number.MAX_SAFE_INTEGER, limits));
}

function read(parse: (text: string) => number, min: number, max: number, limits: string) {
  return (value: string | 0, context: z.core.$RefinementCtx): number => {
    try {
      const amount = parse(String(value));
      if (amount >= min && amount <= max) return amount;
      context.addIssue({ code: 'custom', message: `must be ${limits}, not ${String(value).slice(0, 40)}` });
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
    return z.NEVER;
  };
}

const count = (max: number) => z.number().int().min(0).max(max);
/** Neither an argument nor a variable of a process can have a NUL. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\0]*$/, 'may not have a NUL');

/** A file, looked for from the folder of the configuration. */
const file = text(4_096).min(1);

/** A template is part of every command to start a worker, and of the configuration's record. */
const TEMPLATE_BYTES_MAX = 16 * 1024;

const workerSchema = z
  .strictObject({
    command: z.array(text(4_096).min(1)).min(1).max(100).optional(),
    memory: size('1MiB').prefault('256MiB'),
    env: z
      .record(
        z
          .string()
          .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be letters, digits and _')
          .refine((name) => !RESERVED_ENV.includes(name), 'is set by Muster itself'),
        z.union([text(8_192), z.number(), z.boolean()], 'must be a text, a number, true or false').transform(String),
      )
      .default({}),
  })
  .refine((worker) => JSON.stringify(worker).length <= TEMPLATE_BYTES_MAX, `may have at most ${TEMPLATE_BYTES_MAX} bytes as JSON`);

/** Kubernetes takes far larger ones; this one is part of the configuration's record. */
const POD_TEMPLATE_BYTES_MAX = 32 * 1024;

const podTemplateSchema = z
  .record(z.string(), z.unknown())
  .refine(
    (template) => JSON.stringify(template).length <= POD_TEMPLATE_BYTES_MAX,
    `may have at most ${POD_TEMPLATE_BYTES_MAX} bytes as JSON`,
  )
  .superRefine((template, context) => {
    for (const { path, message } of problemsOfPodTemplate(template)) context.addIssue({ code: 'custom', path: [...path], message });
  });

const pathSchema = z
  .string()
  .max(512)
  .regex(/^\/[^\s?#]*$/, 'must be a path like /activate');
/** Workers that know nothing of Muster: where they listen, and what is posted to them. */
const probeSchema = z.strictObject({
  scheme: z.enum(['http', 'https']).default('http'),
  port: z.number().int().min(1).max(65_535).optional(),
  activate: pathSchema.optional(),
  release: pathSchema.optional(),
  reset: pathSchema.optional(),
});

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** One pool as it is written. */
export const poolConfigSchema = z
  .strictObject({
    driver: z.enum(['process', 'kubernetes', 'simulated']),
    worker: workerSchema.prefault({}),
    podTemplate: podTemplateSchema.optional(),
    contract: z.enum(['hello', 'probe']).default('hello'),
    probe: probeSchema.optional(),
    floor: count(100_000).default(0),
    max: count(1_000_000).default(0),
    shards: z.number().int().min(1).max(64).default(1),
    recycle: z.enum(['single-use', 'same-org', 'shared']).default('same-org'),
    parkedTtl: duration('60s', '0', '1d'),
    leaseTtl: duration('60s', '1s', '1d'),
    waitMax: duration('30s', '0', '10m'),
    scaleDown: z.strictObject({ after: duration('60s', '1s', '1d'), every: duration('30s', '1s', '1d') }).prefault({}),
    breaker: z.strictObject({ failures: z.number().int().min(1).max(1_000).default(5) }).prefault({}),
    waitersMax: z.number().int().min(1).max(100_000).default(10_000),
    refusedPerOrgMax: z.number().int().min(1).max(1_000).default(10),
    surge: z.number().min(0).max(1).default(0.25),
    spawn: duration('5m', '1s', '1h'),
    activation: duration('10s', '100ms', '5m'),
  })
  .refine((pool) => pool.driver !== 'process' || pool.worker.command !== undefined, {
    path: ['worker', 'command'],
    message: 'is needed by the process driver',
    // Also where the pool has other problems: all of them are named at once.
    when: ({ value }) => isObject(value) && isObject(value.worker),
  })
  .superRefine((pool, context) => {
    const problem = (path: readonly (string | number)[], message: string) => context.addIssue({ code: 'custom', path: [...path], message });
    const isPod = pool.driver === 'kubernetes';
    if (isPod && pool.podTemplate === undefined) problem(['podTemplate'], 'is needed by the kubernetes driver');
    if (!isPod && pool.podTemplate !== undefined) problem(['podTemplate'], `is of no use to the ${pool.driver} driver`);
    if (isPod && pool.worker.command !== undefined) problem(['worker', 'command'], "is the container's, in podTemplate");
    if (!isPod && pool.contract === 'probe') problem(['contract'], `the ${pool.driver} driver knows hello only`);
    if (pool.contract !== 'probe' && pool.probe !== undefined) problem(['probe'], 'is of no use without contract: probe');
    if (pool.podTemplate === undefined || !isPod) return;
    const template = podTemplateOf(pool.podTemplate);
    for (const name of template.workerEnv)
      if (name in pool.worker.env) problem(['worker', 'env', name], 'is in podTemplate too: one of them would be dropped');
    if (pool.contract === 'probe' && (pool.probe?.port ?? template.workerPort) === undefined)
      problem(['probe', 'port'], 'is needed: the container of the worker names no port');
  });

/** The whole file as it is written. */
export const clusterFileSchema = z.strictObject({
  cluster: z.strictObject({ name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be lower case letters, digits and -, at most 32') }),
  nats: z
    .strictObject({
      servers: z
        .array(z.string().regex(/^(nats|tls|ws|wss):\/\//, 'must be an address like nats://127.0.0.1:4222'))
        .min(1)
        .max(20)
        .optional(),
      replicas: z.literal([1, 3, 5]).default(1),
      tls: z
        .strictObject({ ca: file.optional(), cert: file.optional(), key: file.optional() })
        .refine(({ cert, key }) => (cert === undefined) === (key === undefined), 'must have cert and key, or neither')
        .prefault({}),
    })
    .prefault({}),
  host: z.strictObject({ memoryBudget: size('1MiB').optional() }).prefault({}),
  kubernetes: z
    .strictObject({
      namespace: z
        .string()
        .max(63)
        .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'must be lower case letters, digits and -')
        .optional(),
      context: text(253).min(1).optional(),
      kubeconfig: text(4_096).min(1).optional(),
    })
    .prefault({}),
  pools: z.record(poolSchema, poolConfigSchema).refine((pools) => Object.keys(pools).length <= 200, 'may be at most 200'),
  orgs: z
    .record(orgSchema, z.strictObject({ max: count(1_000_000).default(0), weight: z.number().min(0.01).max(1_000).default(1) }))
    .refine((orgs) => Object.keys(orgs).length <= 10_000, 'may be at most 10,000')
    .default({}),
});
export type ClusterFile = z.output<typeof clusterFileSchema>;
