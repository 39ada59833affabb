import { ManualClock, MemoryBus, MemoryLogger, MemoryNetwork, SeededRandom } from '@muster/ports';
import {
  decodeAs,
  encode,
  type HelloAnswer,
  subjects,
  type WorkerAnswer,
  type WorkerBeat,
  type WorkerCommand,
  workerAnswerSchema,
  workerBeatSchema,
} from '@muster/protocol';
import { describe, expect, it, vi } from 'vitest';
import { ActivationRefused } from './activation-refused.ts';
import type { ActivationContext, WorkerOptions } from './options.ts';
import { startWorker } from './worker.ts';

const SLOT = 'duckdb-a1';
const SHARD = 'duckdb';
const WELCOME: HelloAnswer = { type: 'welcome', beatMs: 2_000 };

/** One worker and an owner that answers its hellos with `hello.answer` (undefined: not at all). */
function world(options: Partial<WorkerOptions> = {}, firstAnswer: HelloAnswer | 'none' = WELCOME) {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  const owner = new MemoryBus({ network, name: 'owner' });
  const bus = new MemoryBus({ network, name: 'worker' });
  const logger = new MemoryLogger();
  const heard: { hellos: WorkerBeat[]; beats: WorkerBeat[]; answer: HelloAnswer | undefined } = {
    hellos: [],
    beats: [],
    answer: firstAnswer === 'none' ? undefined : firstAnswer,
  };
  owner.subscribe(subjects.workerHellos(SHARD), (message) => {
    heard.hellos.push(decodeAs(workerBeatSchema, message.data));
    if (heard.answer !== undefined) message.respond(encode(heard.answer));
  });
  owner.subscribe(subjects.workerBeats(SHARD), (message) => heard.beats.push(decodeAs(workerBeatSchema, message.data)));
  const activated: ActivationContext[] = [];
  const calls: string[] = [];
  const worker = startWorker({
    bus,
    clock,
    random: new SeededRandom(7),
    logger,
    identity: { cluster: 'demo', slot: SLOT, shard: SHARD, token: 'slot-token' },
    endpoint: 'http://w:1',
    version: '1.0.0',
    pid: 42,
    onActivate: (context) => {
      activated.push(context);
      calls.push(`activate ${context.org}`);
    },
    onRelease: (held) => void calls.push(`release ${held.org}`),
    onReset: () => void calls.push('reset'),
    onDrain: () => void calls.push('drain'),
    ...options,
  });
  const ask = async (raw: unknown): Promise<WorkerAnswer> => {
    const subject = subjects.workerCommand(SHARD, SLOT, worker.instance);
    const reply = await clock.resolve(owner.request(subject, encode(raw), { timeoutMs: 30_000 }));
    return decodeAs(workerAnswerSchema, reply.data);
  };
  const base = (epoch: number) => ({ slot: SLOT, instance: worker.instance, epoch, reservation: `${SLOT}_${epoch}` });
  const command = {
    activate: (epoch: number, org = 'acme') =>
      ({
        type: 'activate',
        ...base(epoch),
        org,
        pool: 'duckdb',
        token: `token-${epoch}`,
        activation: { key: 'v' },
      }) satisfies WorkerCommand,
    release: (epoch: number) => ({ type: 'release', ...base(epoch) }) satisfies WorkerCommand,
    reset: (epoch: number) => ({ type: 'reset', ...base(epoch) }) satisfies WorkerCommand,
    drain: (epoch: number, graceMs: number) => ({ type: 'drain', ...base(epoch), graceMs }) satisfies WorkerCommand,
    status: (epoch: number) => ({ type: 'status', ...base(epoch) }) satisfies WorkerCommand,
  };
  return { clock, network, owner, bus, logger, heard, worker, ask, command, activated, calls };
}

describe('hello and beat', () => {
  it('says hello until it is answered, backing off, then beats with the same fields', async () => {
    const { clock, heard, worker } = world({}, { type: 'again', afterMs: 50 });
    await clock.run(1_000);
    expect(heard.hellos.length).toBeGreaterThan(3);
    expect(heard.beats).toEqual([]);
    heard.answer = WELCOME;
    await clock.run(11_000);
    const hellos = heard.hellos.length;
    expect(heard.beats.length).toBeGreaterThanOrEqual(4);
    expect(heard.beats.length).toBeLessThanOrEqual(7);
    expect(heard.beats[0]).toEqual({
      instance: worker.instance,
      endpoint: 'http://w:1',
      version: '1.0.0',
      pid: 42,
      token: 'slot-token',
      epoch: 0,
      reservation: null,
      state: 'idle',
    });
    await clock.run(10_000);
    expect(heard.hellos.length).toBe(hellos);
  });

  it('goes on saying hello while the shard has no owner', async () => {
    const { clock, heard, owner } = world({}, 'none');
    owner.disconnect();
    await clock.run(20_000);
    owner.reconnect();
    heard.answer = WELCOME;
    await clock.run(10_000);
    expect(heard.hellos.length).toBe(1);
    expect(heard.beats.length).toBeGreaterThan(0);
  });

  it('beats while an activation takes its time', async () => {
    const { clock, heard, owner, worker, command } = world({ onActivate: () => new Promise(() => undefined) });
    await clock.run(100);
    owner
      .request(subjects.workerCommand(SHARD, SLOT, worker.instance), encode(command.activate(1)), { timeoutMs: 60_000 })
      .catch(() => undefined);
    await clock.run(20_000);
    expect(heard.beats.length).toBeGreaterThan(7);
  });

  it('ends when it is told to stop, after a drain', async () => {
    const { clock, calls, worker } = world({}, { type: 'stop', reason: 'another instance has the slot' });
    expect(await clock.resolve(worker.ended)).toBe('told to stop: another instance has the slot');
    expect(calls).toEqual(['drain']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends by itself when idle and unanswered for orphanAfter', async () => {
    const { clock, worker, heard } = world({ timings: { orphanAfterMs: 60_000, helloEveryMs: 5_000 } });
    await clock.run(30_000);
    expect(worker.isDraining).toBe(false);
    heard.answer = undefined;
    expect(await clock.resolve(worker.ended, 90_000)).toBe('no replica answered for 60000 ms');
  });

  it('keeps serving its tenant however long nobody answers, and ends when it is idle again (P3)', async () => {
    const { clock, worker, heard, ask, command, owner } = world({ timings: { orphanAfterMs: 60_000, helloEveryMs: 5_000 } });
    await clock.run(100);
    await ask(command.activate(1));
    heard.answer = undefined;
    await clock.run(6_000);
    const hellos = heard.hellos.length;
    await clock.run(60_000);
    expect(heard.hellos.length).toBe(hellos);
    owner.disconnect();
    await clock.run(3_600_000);
    expect(worker.isDraining).toBe(false);
    expect(worker.isHolder('token-1')).toBe(true);
    owner.reconnect();
    await ask(command.release(1));
    expect(await clock.resolve(worker.ended, 90_000)).toContain('no replica answered');
  });

  it('does not count while it serves, also where no welcome ever reached it (P3)', async () => {
    const { clock, worker, ask, command } = world({ timings: { orphanAfterMs: 60_000 } }, 'none');
    await ask(command.activate(1));
    await clock.run(600_000);
    expect(worker.isDraining).toBe(false);
  });

  it('does not take having been paused for silence (P4)', async () => {
    const { clock, worker } = world({ timings: { orphanAfterMs: 60_000, helloEveryMs: 5_000 } });
    await clock.run(100);
    clock.jump(600_000);
    await clock.run(10_000);
    expect(worker.isDraining).toBe(false);
  });
});

describe('commands', () => {
  it('activates, knows its holder by the token, and stops knowing it at the release (W2)', async () => {
    const { ask, command, worker, activated, calls, heard, clock } = world();
    expect(worker.isHolder('')).toBe(false);
    expect(await ask(command.activate(1))).toEqual({ ok: true, endpoint: 'http://w:1' });
    expect(activated).toMatchObject([{ org: 'acme', pool: 'duckdb', reservation: `${SLOT}_1`, epoch: 1, activation: { key: 'v' } }]);
    expect(worker.holder).toEqual({ org: 'acme', epoch: 1, reservation: `${SLOT}_1` });
    expect([worker.isHolder('token-1'), worker.isHolder('token-2')]).toEqual([true, false]);
    await clock.run(5_000);
    expect(heard.beats.at(-1)).toMatchObject({ epoch: 1, reservation: `${SLOT}_1`, state: 'active' });
    expect(await ask(command.release(1))).toEqual({ ok: true });
    expect([worker.isHolder('token-1'), worker.holder]).toEqual([false, undefined]);
    expect(await ask(command.activate(1))).toMatchObject({ ok: false, cause: 'stale' });
    expect(calls).toEqual(['activate acme', 'release acme']);
  });

  it('runs a repeated activation once and answers it again', async () => {
    const { ask, command, activated } = world();
    const first = await ask(command.activate(1));
    expect(await ask(command.activate(1))).toEqual(first);
    expect(activated.length).toBe(1);
  });

  it('refuses another org until it was reset (G8)', async () => {
    const { ask, command, worker, calls } = world();
    await ask(command.activate(1));
    await ask(command.release(1));
    expect(await ask(command.activate(2, 'other'))).toMatchObject({ ok: false, cause: 'worker' });
    await ask(command.reset(2));
    expect(await ask(command.activate(3, 'other'))).toMatchObject({ ok: true });
    expect(worker.holder?.org).toBe('other');
    expect(calls).toEqual(['activate acme', 'release acme', 'reset', 'activate other']);
  });

  it('cannot be reset without a handler for it', async () => {
    const { ask, command } = world({ onReset: undefined as never });
    await ask(command.activate(1));
    expect(await ask(command.reset(1))).toMatchObject({ ok: false, cause: 'worker' });
    expect(await ask(command.activate(2, 'other'))).toMatchObject({ ok: false, cause: 'worker' });
  });

  it.each([
    ['a refusal because of the request', new ActivationRefused('request', 'the database is locked'), 'request'],
    ['a refusal because of the worker', new ActivationRefused('worker', 'no disk'), 'worker'],
    ['any other error', new Error('boom'), 'worker'],
  ])('passes on %s in its words', async (_, error, cause) => {
    const { ask, command, worker } = world({ onActivate: () => Promise.reject(error) });
    expect(await ask(command.activate(1))).toEqual({ ok: false, cause, message: error.message });
    expect(worker.isHolder('token-1')).toBe(false);
  });

  it('does them one after the other, and answers a status meanwhile (W1)', async () => {
    const gate = Promise.withResolvers<void>();
    const order: string[] = [];
    const { clock, owner, worker, command, ask } = world({
      onActivate: async () => {
        order.push('begin');
        await gate.promise;
        order.push('end');
      },
      onRelease: () => void order.push('release'),
    });
    const subject = subjects.workerCommand(SHARD, SLOT, worker.instance);
    const activation = owner.request(subject, encode(command.activate(1)), { timeoutMs: 30_000 });
    const release = owner.request(subject, encode(command.release(1)), { timeoutMs: 30_000 });
    await clock.settle();
    expect(await ask(command.status(0))).toMatchObject({ ok: true, beat: { epoch: 1, state: 'idle', reservation: null } });
    expect(order).toEqual(['begin']);
    gate.resolve();
    await clock.resolve(Promise.all([activation, release]));
    expect(order).toEqual(['begin', 'end', 'release']);
  });

  it('refuses what it cannot read, and what is for another instance', async () => {
    const { ask, command } = world();
    expect(await ask({ type: 'dance' })).toMatchObject({ ok: false, cause: 'request' });
    expect(await ask({ ...command.activate(1), instance: 'other' })).toMatchObject({ ok: false, cause: 'stale' });
    expect(await ask({ ...command.status(1), slot: 'duckdb-b2' })).toMatchObject({ ok: false, cause: 'stale' });
  });
});

describe('drain', () => {
  it('answers, drains, says so in its beats, and ends', async () => {
    const gate = Promise.withResolvers<void>();
    const onDrain = vi.fn(() => gate.promise);
    const { ask, command, worker, clock, heard } = world({ onDrain });
    await ask(command.activate(1));
    expect(await ask(command.drain(1, 60_000))).toEqual({ ok: true });
    await clock.run(5_000);
    expect(heard.beats.at(-1)).toMatchObject({ state: 'draining', reservation: `${SLOT}_1` });
    expect(worker.isHolder('token-1')).toBe(true);
    expect(await ask(command.activate(2))).toMatchObject({ ok: false, cause: 'worker' });
    gate.resolve();
    expect(await clock.resolve(worker.ended)).toBe('told to drain');
    expect(onDrain).toHaveBeenCalledExactlyOnceWith({ graceMs: 60_000, reason: 'told to drain' });
  });

  it('ends within its grace, and within a shorter one that comes later (W3)', async () => {
    const { worker, clock } = world({ onDrain: () => new Promise(() => undefined) });
    void worker.drain('SIGTERM', 10_000);
    await clock.run(1_000);
    expect(await Promise.race([worker.ended, Promise.resolve('draining')])).toBe('draining');
    const ended = worker.drain('again', 2_000);
    await clock.resolve(ended);
    expect(clock.monotonicMs()).toBe(3_000);
  });

  it('aborts an activation that runs, which then is refused', async () => {
    const { worker, clock, owner, command } = world({
      onActivate: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    });
    const subject = subjects.workerCommand(SHARD, SLOT, worker.instance);
    const activation = owner.request(subject, encode(command.activate(1)), { timeoutMs: 30_000 });
    await clock.run(10);
    void worker.drain('SIGTERM');
    const answer = decodeAs(workerAnswerSchema, (await clock.resolve(activation)).data);
    expect(answer).toMatchObject({ ok: false, cause: 'worker' });
    expect(worker.holder).toBeUndefined();
  });
});
