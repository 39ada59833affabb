import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkerTemplate } from '@muster/domain';
import { connectNats } from '@muster/nats';
import { type MessageBus, SystemClock, SystemRandom, silentLogger, type WorkerHandle, type WorkerSpec } from '@muster/ports';
import { HostDriver } from '@muster/process';
import { decodeAs, encode, subjects, type WorkerBeat, workerAnswerSchema, workerBeatSchema } from '@muster/protocol';
import { eventually, startNatsServer, tempDir } from '@muster/testkit';
import { describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const FIXTURE = fileURLToPath(new URL('../test/fixture-worker.ts', import.meta.url));
const COMMAND = ['node', FIXTURE];
const START_MS = 120_000;

/** One that has ended and that its parent has not collected yet does not run. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** A NATS, an agent in a process of its own, and a control plane that is only a driver and an ear for hellos. */
async function world(kind: 'process' | 'simulated' = 'process') {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await tempDir()).path;
  const nats = resources.use(await startNatsServer());
  const clock = new SystemClock();
  const connected = await connectNats({ servers: [nats.url], name: 'test', clock, random: new SystemRandom(), logger: silentLogger });
  resources.defer(() => connected.close());
  const { bus } = connected;
  const hellos = new Map<string, WorkerBeat[]>();
  const beats = new Map<string, WorkerBeat>();
  bus.subscribe(subjects.workerHellos('pool'), (message) => {
    const slot = message.subject.split('.')[4] ?? '';
    hellos.set(slot, [...(hellos.get(slot) ?? []), decodeAs(workerBeatSchema, message.data)]);
    message.respond(encode({ type: 'welcome', beatMs: 200 }));
  });
  bus.subscribe(subjects.workerBeats('pool'), (message) => {
    beats.set(message.subject.split('.')[4] ?? '', decodeAs(workerBeatSchema, message.data));
  });
  const driver = new HostDriver({ bus, clock, logger: silentLogger, cluster: 'test', kind });
  resources.defer(() => driver.close());
  await writeConfig(folder, kind, ['pool']);
  const state = join(folder, 'state');
  // Whatever a test has left running, by what the agent has noted.
  resources.defer(async () => {
    const names = await readdir(join(state, 'slots')).catch(() => []);
    for (const name of names.filter((each) => each.endsWith('.json'))) {
      // An agent that was killed while it claimed a slot leaves an empty one.
      const { pid, exited } = JSON.parse((await readFile(join(state, 'slots', name), 'utf8')) || '{}') as {
        pid?: number;
        exited?: unknown;
      };
      if (pid !== undefined && exited === undefined && isRunning(pid)) process.kill(-pid, 'SIGKILL');
    }
  });
  const agents: ChildProcess[] = [];
  resources.defer(async () => {
    for (const agent of agents) await kill(agent);
  });
  const startAgent = (env: Readonly<Record<string, string>> = {}): ChildProcess => {
    const agent = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        MUSTER_CONFIG: join(folder, 'muster.yaml'),
        MUSTER_HOST_STATE: state,
        MUSTER_HOST_KIND: kind,
        MUSTER_NATS_URL: nats.url,
        MUSTER_READY_FILE: join(folder, 'ready'),
        ...env,
      },
    });
    agent.stdout.resume();
    agents.push(agent);
    return agent;
  };
  /** Starts the agent and waits until it listens. */
  const startReadyAgent = async (
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly agent: ChildProcess; readonly host: string }> => {
    await rm(join(folder, 'ready'), { force: true });
    const agent = startAgent(env);
    const { id } = await eventually(async () => JSON.parse(await readFile(join(folder, 'ready'), 'utf8')) as { id: string }, {
      timeoutMs: START_MS,
    });
    await eventually(() => driver.describe().some(({ pid }) => pid === agent.pid), { timeoutMs: START_MS });
    return { agent, host: id };
  };
  const held = resources.move();
  return { folder, state, bus, driver, hellos, beats, startAgent, startReadyAgent, nats, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function writeConfig(folder: string, kind: string, pools: readonly string[]): Promise<void> {
  const command = kind === 'process' ? `, command: ${JSON.stringify(COMMAND)}` : '';
  const lines = pools.map((pool) => `  ${pool}: { driver: ${kind}, floor: 0, worker: { memory: 64MiB${command} } }`);
  await writeFile(join(folder, 'muster.yaml'), `cluster: { name: test }\nhost: { memoryBudget: 1GiB }\npools:\n${lines.join('\n')}\n`);
}

async function kill(agent: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  const exited = once(agent, 'exit');
  agent.kill(signal);
  await exited;
}

function spec(slot: string, host: string, more: { behaviour?: string; pool?: string; command?: readonly string[] } = {}): WorkerSpec {
  const env: Record<string, string> = more.behaviour === undefined ? {} : { FIXTURE_BEHAVIOUR: more.behaviour };
  const template: WorkerTemplate = { command: more.command ?? COMMAND, env, memoryBytes: 64 * 1024 ** 2 };
  return { slot, shard: 'pool', pool: more.pool ?? 'pool', template, placement: { host }, token: `token-${slot}` };
}

async function created(driver: HostDriver, of: WorkerSpec): Promise<WorkerHandle & { readonly pid: number }> {
  const outcome = await driver.create(of);
  expect(outcome).toMatchObject({ kind: 'created', handle: { pid: expect.any(Number), startTime: expect.any(String) } });
  const { handle } = outcome as { handle: WorkerHandle };
  return { ...handle, pid: handle.pid ?? 0 };
}

async function activate(bus: MessageBus, slot: string, instance: string) {
  const command = {
    type: 'activate',
    slot,
    instance,
    epoch: 1,
    reservation: `${slot}_1`,
    org: 'acme',
    pool: 'pool',
    token: 'secret',
    activation: {},
  };
  const reply = await bus.request(subjects.workerCommand('pool', slot, instance), encode(command), { timeoutMs: 10_000 });
  return decodeAs(workerAnswerSchema, reply.data);
}

describe('a host agent', () => {
  it('starts five workers at once; each says hello with its pid and token, is activated, beats, and has a log of its own', async () => {
    await using at = await world();
    const { host } = await at.startReadyAgent();
    const slots = ['pool-a', 'pool-b', 'pool-c', 'pool-d', 'pool-e'];
    const handles = await Promise.all(slots.map((slot) => created(at.driver, spec(slot, host))));
    await eventually(() => expect([...at.hellos.keys()].sort()).toEqual(slots), { timeoutMs: START_MS });
    for (const [n, slot] of slots.entries()) {
      const hello = at.hellos.get(slot)?.[0];
      expect(hello).toMatchObject({
        pid: handles[n]?.pid,
        token: `token-${slot}`,
        endpoint: `fixture://${handles[n]?.pid}`,
        state: 'idle',
      });
      expect(await activate(at.bus, slot, hello?.instance ?? '')).toEqual({ ok: true, endpoint: hello?.endpoint });
      await eventually(() => expect(at.beats.get(slot)).toMatchObject({ state: 'active', reservation: `${slot}_1`, epoch: 1 }));
      const log = join(at.state, 'logs', `${slot}.log`);
      await eventually(async () => expect(await readFile(log, 'utf8')).toContain(`speaks for its slot as ${hello?.instance}`));
    }
    const { workers, hosts } = await at.driver.list();
    expect(workers).toMatchObject(slots.map((slot, n) => ({ slot, shard: 'pool', state: 'running', handle: { ...handles[n] } })));
    expect(hosts).toEqual([host]);
    await eventually(() => expect(at.driver.describe()).toMatchObject([{ workers: 5 }]));
    await Promise.all(slots.map((slot, n) => at.driver.destroy(slot, handles[n] ?? {}, 10_000)));
    expect(handles.map(({ pid }) => isRunning(pid))).toEqual([false, false, false, false, false]);
    expect((await at.driver.list()).workers).toMatchObject(slots.map((slot) => ({ slot, state: 'exited', reason: 'exit 0' })));
  });

  it('is killed and started again: under the same id it finds its workers running, which noticed nothing', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent();
    const handle = await created(at.driver, spec('pool-a', host));
    const gone = await created(at.driver, spec('pool-b', host));
    // One that beats has its welcome, and says no more hello.
    await eventually(() => at.beats.has('pool-a') && at.hellos.has('pool-b'), { timeoutMs: START_MS });
    const hellos = at.hellos.get('pool-a')?.length;
    await kill(agent);
    process.kill(gone.pid, 'SIGKILL');
    at.beats.clear();
    await eventually(() => at.beats.has('pool-a'));
    const { host: again } = await at.startReadyAgent();
    expect(again).toBe(host);
    expect((await at.driver.list()).workers).toMatchObject([
      { slot: 'pool-a', state: 'running', handle },
      { slot: 'pool-b', state: 'exited', reason: expect.stringContaining('not known') },
    ]);
    expect(await at.driver.create(spec('pool-a', host))).toEqual({ kind: 'created', handle: { ...handle } });
    expect(await at.driver.create(spec('pool-b', host))).toMatchObject({ kind: 'exited' });
    expect(at.hellos.get('pool-a')?.length).toBe(hellos);
    // It is no child of this agent: its end is seen by looking.
    process.kill(handle.pid, 'SIGKILL');
    await eventually(async () => expect((await at.driver.list()).workers[0]).toMatchObject({ slot: 'pool-a', state: 'exited' }));
  });

  it('stops a worker that an earlier agent started', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent();
    const handle = await created(at.driver, spec('pool-a', host));
    await eventually(() => at.hellos.has('pool-a'), { timeoutMs: START_MS });
    await kill(agent);
    await at.startReadyAgent();
    await at.driver.destroy('pool-a', handle, 10_000);
    expect(isRunning(handle.pid)).toBe(false);
  });

  it('finds a worker whose pid it had no time to note', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent();
    const handle = await created(at.driver, spec('pool-a', host));
    await eventually(() => at.hellos.has('pool-a'), { timeoutMs: START_MS });
    await kill(agent);
    const marker = join(at.state, 'slots', 'pool-a.json');
    const { pid: _pid, startTime: _startTime, ...rest } = JSON.parse(await readFile(marker, 'utf8')) as Record<string, unknown>;
    await writeFile(marker, JSON.stringify(rest));
    await at.startReadyAgent();
    expect((await at.driver.list()).workers).toMatchObject([{ slot: 'pool-a', state: 'running', handle: { ...handle } }]);
  });

  it('starts a slot once, however often and however much at once it is asked', async () => {
    await using at = await world();
    const { host } = await at.startReadyAgent();
    const handles = await Promise.all(Array.from({ length: 5 }, () => created(at.driver, spec('pool-a', host))));
    expect(new Set(handles.map(({ pid }) => pid)).size).toBe(1);
    await eventually(() => at.hellos.has('pool-a'), { timeoutMs: START_MS });
    expect(await readdir(join(at.state, 'logs'))).toEqual(['pool-a.log']);
    const log = join(at.state, 'logs', 'pool-a.log');
    await eventually(async () => expect((await readFile(log, 'utf8')).match(/speaks/g)).toHaveLength(1));
  });

  it('reports how a worker ended, at once and to whoever asks to start it again', async () => {
    await using at = await world();
    const { host } = await at.startReadyAgent();
    const ended = new Map<string, string | undefined>();
    at.driver.watch(({ slot, state, reason }) => {
      if (state === 'exited') ended.set(slot, reason);
    });
    const { pid } = await created(at.driver, spec('pool-a', host));
    await created(at.driver, spec('pool-b', host, { behaviour: 'fails' }));
    process.kill(pid, 'SIGKILL');
    await eventually(() => expect(Object.fromEntries(ended)).toEqual({ 'pool-a': 'SIGKILL', 'pool-b': 'exit 3' }), { timeoutMs: START_MS });
    expect(await at.driver.create(spec('pool-a', host))).toEqual({ kind: 'exited', reason: 'SIGKILL' });
    expect(await at.driver.create(spec('pool-b', host))).toEqual({ kind: 'exited', reason: 'exit 3' });
  });

  it('ends a worker that ignores SIGTERM by SIGKILL after the grace, with all that it started', async () => {
    await using at = await world();
    const { host } = await at.startReadyAgent();
    const handle = await created(at.driver, spec('pool-a', host, { behaviour: 'stubborn' }));
    const log = join(at.state, 'logs', 'pool-a.log');
    const childPid = await eventually(async () => Number(/child (\d+)/.exec(await readFile(log, 'utf8'))?.[1]) || false, {
      timeoutMs: START_MS,
    });
    await at.driver.destroy('pool-a', handle, 5_000);
    expect(isRunning(handle.pid)).toBe(false);
    await eventually(() => !isRunning(childPid));
    expect(await readFile(log, 'utf8')).toContain('SIGTERM is ignored');
    expect((await at.driver.list()).workers).toMatchObject([{ slot: 'pool-a', state: 'exited', reason: 'SIGKILL' }]);
  });

  it('never starts a slot that was destroyed before, also after a restart', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent();
    await at.driver.destroy('pool-a', { host }, 0);
    await kill(agent);
    await at.startReadyAgent();
    expect(await at.driver.create(spec('pool-a', host))).toMatchObject({ kind: 'exited' });
  });

  it('drains its workers when it is told to end, where it is told to, and is then gone for the owners', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent({ MUSTER_HOST_ON_STOP: 'drain' });
    const { pid } = await created(at.driver, spec('pool-a', host));
    await eventually(() => at.hellos.has('pool-a'), { timeoutMs: START_MS });
    const told: string[] = [];
    at.driver.watch(({ slot, state, reason }) => told.push(`${slot} ${state} ${reason}`));
    await kill(agent, 'SIGTERM');
    expect(agent.exitCode).toBe(0);
    expect(isRunning(pid)).toBe(false);
    await eventually(() => expect(told).toEqual(['pool-a exited exit 0']));
    await eventually(async () => expect(await at.driver.list()).toEqual({ workers: [], silentHosts: [], hosts: [host] }));
  });

  it('ends a second process of a slot at once by the lock that the first one holds', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent();
    const { pid } = await created(at.driver, spec('pool-a', host));
    await eventually(() => at.beats.has('pool-a'), { timeoutMs: START_MS });
    const hellos = at.hellos.get('pool-a')?.length;
    // What no marker tells any more: only the lock is left to keep a second one out.
    await kill(agent);
    await rm(join(at.state, 'slots', 'pool-a.json'));
    await at.startReadyAgent();
    await at.driver.create(spec('pool-a', host));
    await eventually(async () =>
      expect((await at.driver.list()).workers).toMatchObject([
        { slot: 'pool-a', state: 'exited', reason: expect.stringContaining('lock') },
      ]),
    );
    expect(isRunning(pid)).toBe(true);
    expect(at.hellos.get('pool-a')?.length).toBe(hellos);
    process.kill(-pid, 'SIGKILL');
  });

  it('starts only what its own configuration names, which it reads again when a pool is new', async () => {
    await using at = await world();
    const { host } = await at.startReadyAgent();
    expect(await at.driver.create(spec('pool-a', host, { command: ['sh', '-c', 'true'] }))).toMatchObject({
      kind: 'failed',
      retryable: false,
    });
    expect(await at.driver.create(spec('late-a', host, { pool: 'late' }))).toMatchObject({ kind: 'failed', retryable: false });
    await writeConfig(at.folder, 'process', ['pool', 'late']);
    await eventually(() => created(at.driver, spec('late-a', host, { pool: 'late' })));
  });

  it('has its folder to itself: a second agent ends at once, and one that is stopped leaves its workers running', async () => {
    await using at = await world();
    const { agent, host } = await at.startReadyAgent();
    const { pid } = await created(at.driver, spec('pool-a', host));
    const second = at.startAgent();
    const [code] = (await once(second, 'exit')) as [number];
    expect(code).toBe(1);
    await kill(agent, 'SIGTERM');
    expect(agent.exitCode).toBe(0);
    expect(isRunning(pid)).toBe(true);
  });
});

describe('a host of simulated workers', () => {
  it('speaks the contract for many slots in one process', async () => {
    await using at = await world('simulated');
    const { agent, host } = await at.startReadyAgent();
    const slots = Array.from({ length: 200 }, (_, n) => `pool-${String(n).padStart(3, '0')}`);
    await Promise.all(slots.map((slot) => at.driver.create(spec(slot, host))));
    await eventually(() => expect(at.hellos.size).toBe(200), { timeoutMs: START_MS });
    expect(at.hellos.get('pool-007')?.[0]).toMatchObject({ pid: agent.pid, token: 'token-pool-007' });
    expect(await activate(at.bus, 'pool-007', at.hellos.get('pool-007')?.[0]?.instance ?? '')).toMatchObject({ ok: true });
    await at.driver.destroy('pool-007', { host }, 1_000);
    const { workers } = await at.driver.list();
    expect(workers.filter(({ state }) => state === 'running').length).toBe(199);
    await kill(agent, 'SIGTERM');
    expect(agent.exitCode).toBe(0);
  });
});
