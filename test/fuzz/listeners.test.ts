// Every subject that somebody listens on, against messages that nobody should send: a typed error, and nothing has changed.
import { MemoryBus, MemoryLogger, SeededRandom } from '@muster/ports';
import { HostAgent, HostDriver, SimulatedLauncher } from '@muster/process';
import {
  adminRequestSchema,
  cancelRequestSchema,
  cutSchema,
  decodeAs,
  ERROR_CODES,
  hostBeatSchema,
  hostCommandSchema,
  hostWorkerSchema,
  janitorCommandSchema,
  reservationRefsSchema,
  reserveRequestSchema,
  shardCommandSchema,
  subjects,
  workerBeatSchema,
  workerCommandSchema,
} from '@muster/protocol';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryCluster } from '../pool/memory-cluster.ts';
import { hostile } from './hostile.ts';
import { GOOD } from './messages.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 2 } }';
const ANSWER_MS = 2_000;
/** As long as several beats, ticks and cuts take. */
const AFTER_MS = 10_000;

const logger = new MemoryLogger();
let cluster: MemoryCluster;
let intruder: MemoryBus;
let hostDriver: HostDriver;
let agent: HostAgent;

beforeAll(async () => {
  cluster = await MemoryCluster.start({ replicas: 2, config: CONFIG, logger });
  await cluster.untilWarm('demo', 2);
  const { clock, network } = cluster;
  intruder = new MemoryBus({ network, name: 'intruder' });
  hostDriver = new HostDriver({ bus: new MemoryBus({ network, name: 'driver' }), clock, logger, cluster: 'test', kind: 'simulated' });
  const launcher = new SimulatedLauncher({
    host: 'h1',
    clock,
    startSimulatedWorker: () => ({ stop: async () => undefined, ended: new Promise<string>(() => undefined) }),
  });
  const memoryBudget = { bytes: 1e9, why: 'configured' };
  const bus = new MemoryBus({ network, name: 'host' });
  agent = new HostAgent({
    bus,
    clock,
    random: new SeededRandom(1),
    logger,
    host: 'h1',
    cluster: 'test',
    memoryBudget,
    launcher,
    load: () => 0,
  });
  await agent.start();
  // Until each replica has its share.
  await clock.runUntil(() => cluster.ownerOf('demo') !== cluster.ownerOf('janitor'));
  await clock.run(AFTER_MS);
});
afterAll(async () => {
  await agent.stop();
  await hostDriver.close();
});

type Schema = Parameters<typeof decodeAs>[0];
type IsGood = (bytes: Uint8Array) => boolean;

const good =
  (schema: Schema): IsGood =>
  (bytes) => {
    try {
      decodeAs(schema, bytes);
      return true;
    } catch {
      return false;
    }
  };
const never: IsGood = () => false;

/** A command on the wire of a shard; between replicas a message may be as large as NATS takes. */
const wired =
  (body: Schema): IsGood =>
  (bytes) => {
    try {
      const { v, id = 'c', deadlineMs, body: inner } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Wire;
      const isId = typeof id === 'string' && id.length > 0 && id.length <= 128;
      return (
        v === 1 && isId && typeof deadlineMs === 'number' && deadlineMs >= 0 && deadlineMs <= 86_400_000 && body.safeParse(inner).success
      );
    } catch {
      return false;
    }
  };
interface Wire {
  readonly v?: unknown;
  readonly id?: unknown;
  readonly deadlineMs?: unknown;
  readonly body?: unknown;
}
const wire = (bodies: readonly unknown[]) => bodies.map((body) => ({ v: 1, id: 'c1', deadlineMs: 500, body }));
const anyWorker = () => [...cluster.workers].map(([slot, { instance }]) => subjects.workerCommand('demo', slot, instance))[0] ?? '';
const anySlot = () => cluster.slots()[0]?.slot ?? '';

const LISTENERS: readonly (readonly [what: string, subject: () => string, isGood: IsGood, samples: readonly unknown[]])[] = [
  ['reserve', () => subjects.reserve('demo'), good(reserveRequestSchema), GOOD.reserve],
  ['renew', () => subjects.renew(), good(reservationRefsSchema), GOOD.refs],
  ['release', () => subjects.release(), good(reservationRefsSchema), GOOD.refs],
  ['cancel', () => subjects.cancel(), good(cancelRequestSchema), GOOD.cancel],
  ['admin', () => subjects.admin(), good(adminRequestSchema), GOOD.admin],
  ['commands of a shard, for replicas', () => subjects.shardCommand('demo'), wired(shardCommandSchema), wire(GOOD.shard)],
  ['commands of a shard, for clients', () => subjects.shardRequest('demo'), wired(shardCommandSchema), wire(GOOD.shard)],
  ['commands of the janitor', () => subjects.shardCommand('janitor'), wired(janitorCommandSchema), wire(GOOD.janitor)],
  ['commands to a worker', anyWorker, good(workerCommandSchema), GOOD.workerCommand],
  ['commands to a host agent', () => subjects.hostDriver('h1'), good(hostCommandSchema), GOOD.hostCommand],
];
const HEARD: typeof LISTENERS = [
  ['hellos of workers', () => subjects.workerHello('demo', anySlot()), good(workerBeatSchema), GOOD.beat],
  ['beats of workers', () => subjects.workerBeat('demo', anySlot()), good(workerBeatSchema), GOOD.beat],
  ['cuts', () => subjects.miss('demo'), good(cutSchema), GOOD.cut],
  ['beats of hosts', () => subjects.hostBeat('h9'), good(hostBeatSchema), GOOD.hostBeat],
  ['news of hosts', () => subjects.hostWorker('h1'), good(hostWorkerSchema), GOOD.hostWorker],
  ['a host forgotten', () => subjects.hostForgotten('h9'), never, [{}]],
  ['beats of replicas', () => subjects.replicaBeat('ghost'), never, [{ v: 1, shards: { demo: { seq: 1 } }, able: ['demo'], about: {} }]],
];

/** What may not change: who owns what, the slots, the decisions, what runs. */
function state() {
  return {
    owners: ['demo', 'janitor'].map((shard) => cluster.ownerOf(shard)?.bus.name),
    slots: cluster.slots().map(({ slot, state: is, epoch, reservation }) => ({ slot, is, epoch, reservation })),
    intents: cluster.intents().length,
    workers: [...cluster.workers.values()].map(({ holder, isDraining }) => ({ holder, isDraining })),
    pool: cluster.pool('demo').warm,
  };
}

async function assertUnchanged(before: ReturnType<typeof state>): Promise<void> {
  await cluster.clock.run(AFTER_MS);
  expect(state()).toEqual(before);
  expect(({} as { isPolluted?: unknown }).isPolluted).toBeUndefined();
  expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
}

test.each(LISTENERS)('%s: told what is wrong, and nothing has changed', { timeout: 60_000 }, async (_what, subject, isGood, samples) => {
  const before = state();
  await fc.assert(
    fc.asyncProperty(hostile(samples), async (bytes) => {
      fc.pre(!isGood(bytes));
      const asked = intruder.request(subject(), bytes, { timeoutMs: ANSWER_MS });
      const reply = await cluster.clock.resolve(asked);
      const said = JSON.parse(new TextDecoder().decode(reply.data)) as Said;
      const { ok, error = said.answer?.error, reason, message } = { ...said, ...(said.answer === undefined ? {} : { ok: said.answer.ok }) };
      expect(ok ?? false).toBe(false);
      if (error === undefined) {
        expect(reason ?? message).toMatch(/\S/);
        return;
      }
      expect(Object.keys(ERROR_CODES)).toContain(error.code);
      expect(error.code).not.toBe('internal');
      expect(error.message).toMatch(/\S/);
    }),
    { numRuns: 150 },
  );
  await assertUnchanged(before);
});

interface Said {
  readonly ok?: boolean;
  readonly error?: { readonly code: string; readonly message: string };
  /** Of a shard. */
  readonly answer?: { readonly ok: boolean; readonly error?: { readonly code: string; readonly message: string } };
  /** Of a host agent, and of a worker. */
  readonly reason?: string;
  readonly message?: string;
}

test.each(HEARD)('%s: what cannot be read changes nothing', { timeout: 60_000 }, async (_what, subject, isGood, samples) => {
  const before = state();
  fc.assert(
    fc.property(hostile(samples), (bytes) => {
      fc.pre(!isGood(bytes));
      intruder.publish(subject(), bytes);
    }),
    { numRuns: 150 },
  );
  await assertUnchanged(before);
});

test('after all that, who asks well is served', async () => {
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'at-last' });
  expect(answer).toMatchObject({ ok: true });
});
