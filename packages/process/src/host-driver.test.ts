import type { WorkerTemplate } from '@muster/domain';
import { ManualClock, MemoryBus, MemoryLogger, MemoryNetwork, SeededRandom, type WorkerSpec, type WorkerStatus } from '@muster/ports';
import { isMusterError, subjects } from '@muster/protocol';
import { describe, expect, it } from 'vitest';
import { AllowedCommands } from './allowed-commands.ts';
import { HostAgent } from './host-agent.ts';
import { HostDriver } from './host-driver.ts';
import { SimulatedLauncher, type SimulatedWorker } from './launch/simulated-launcher.ts';

const MiB = 1024 ** 2;
const TEMPLATE: WorkerTemplate = { env: {}, memoryBytes: 256 * MiB };

function spec(slot: string, host: string | undefined, template = TEMPLATE): WorkerSpec {
  return { slot, shard: 'noop', pool: 'noop', template, placement: host === undefined ? {} : { host }, token: 't' };
}

function world() {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  const logger = new MemoryLogger();
  const bus = new MemoryBus({ network, name: 'replica' });
  const driver = new HostDriver({ bus, clock, logger, cluster: 'demo', kind: 'simulated' });
  const workers = new Map<string, { readonly end: (reason: string) => void; grace: number | undefined }>();
  const addHost = async (host: string, budgetMiB = 1024, more: { cluster?: string; commands?: AllowedCommands } = {}) => {
    const hostBus = new MemoryBus({ network, name: host });
    const launcher = new SimulatedLauncher({
      host,
      clock,
      startSimulatedWorker: ({ slot }): SimulatedWorker => {
        const { promise, resolve } = Promise.withResolvers<string>();
        const worker = { end: resolve, grace: undefined as number | undefined };
        workers.set(slot, worker);
        return {
          ended: promise,
          stop: async (graceMs) => {
            worker.grace = graceMs;
            resolve('stopped');
          },
        };
      },
    });
    const agent = new HostAgent({
      bus: hostBus,
      clock,
      random: new SeededRandom(1),
      logger,
      host,
      cluster: more.cluster ?? 'demo',
      memoryBudget: { bytes: budgetMiB * MiB, why: 'configured' },
      launcher,
      load: () => 0.5,
      ...(more.commands === undefined ? {} : { commands: more.commands }),
    });
    await agent.start();
    await clock.run(1);
    return { agent, bus: hostBus, launcher };
  };
  return { clock, network, bus, driver, logger, addHost, workers };
}

describe('capacity and placement', () => {
  it('is unknown while no host is known, and then the sum of what fits, silent hosts counted (H1)', async () => {
    const { clock, driver, addHost } = world();
    expect(driver.capacity(TEMPLATE)).toEqual({ kind: 'unknown', why: 'no simulated host has been heard of' });
    await addHost('h1', 1024);
    const { bus } = await addHost('h2', 600);
    expect(driver.capacity(TEMPLATE)).toMatchObject({ kind: 'bounded', max: 6 });
    bus.disconnect();
    await clock.run(6_000);
    expect(driver.capacity(TEMPLATE)).toMatchObject({ max: 6, why: expect.stringContaining('h2 (silent): 600.0 MiB (configured) for 2') });
    expect(driver.describe()).toMatchObject([
      { host: 'h1', isSilent: false, silentMs: 0, pid: process.pid },
      { host: 'h2', isSilent: true, silentMs: 6_000 },
    ]);
  });

  it('ignores hosts of another cluster', async () => {
    const { driver, addHost } = world();
    await addHost('h1', 1024, { cluster: 'other' });
    expect(driver.capacity(TEMPLATE).kind).toBe('unknown');
  });

  it('spreads by free memory and what is assigned, and never to a silent host or beyond its memory (H2)', async () => {
    const { clock, driver, addHost } = world();
    expect(driver.place(TEMPLATE, new Map())).toBeUndefined();
    await addHost('h1', 1024);
    const { bus } = await addHost('h2', 1024);
    const assigned = new Map<string, number>();
    for (let n = 0; n < 8; n++) {
      const host = driver.place(TEMPLATE, assigned)?.host ?? '';
      assigned.set(host, (assigned.get(host) ?? 0) + 1);
    }
    expect(assigned).toEqual(new Map(Object.entries({ h1: 4, h2: 4 })));
    expect(driver.place(TEMPLATE, assigned)).toBeUndefined();
    bus.disconnect();
    await clock.run(6_000);
    expect(driver.place(TEMPLATE, new Map())?.host).toBe('h1');
    expect(driver.place(TEMPLATE, new Map([['h1', 4]]))).toBeUndefined();
    bus.reconnect();
    await clock.run(100);
    expect(driver.place(TEMPLATE, new Map([['h1', 4]]))?.host).toBe('h2');
  });

  it('does not take its own broken link, or its own pause, for the silence of hosts', async () => {
    const { clock, driver, addHost, bus } = world();
    await addHost('h1');
    bus.disconnect();
    await clock.run(60_000);
    bus.reconnect();
    expect(driver.describe()[0]?.isSilent).toBe(false);
    clock.jump(60_000);
    await clock.run(1);
    expect(driver.describe()[0]?.isSilent).toBe(false);
  });
});

describe('create, list, destroy', () => {
  it('starts a slot once, whatever is asked how often, and lists it', async () => {
    const { clock, driver, addHost, workers } = world();
    await addHost('h1');
    const handle = { host: 'h1', pid: process.pid };
    expect(await clock.resolve(driver.create(spec('noop-a1', 'h1')))).toEqual({ kind: 'created', handle });
    const first = workers.get('noop-a1');
    expect(await clock.resolve(driver.create(spec('noop-a1', 'h1')))).toEqual({ kind: 'created', handle });
    expect(workers.get('noop-a1')).toBe(first);
    expect(await clock.resolve(driver.list())).toMatchObject({
      workers: [{ slot: 'noop-a1', shard: 'noop', handle, state: 'running' }],
      silentHosts: [],
      hosts: ['h1'],
    });
  });

  it('tells who watches when a worker ends, and says exited with its reason to a repeated create', async () => {
    const { clock, driver, addHost, workers } = world();
    await addHost('h1');
    const seen: WorkerStatus[] = [];
    driver.watch((status) => seen.push(status));
    await clock.resolve(driver.create(spec('noop-a1', 'h1')));
    workers.get('noop-a1')?.end('exit 1');
    await clock.run(1);
    expect(seen).toMatchObject([{ state: 'running' }, { slot: 'noop-a1', state: 'exited', reason: 'exit 1' }]);
    expect(await clock.resolve(driver.create(spec('noop-a1', 'h1')))).toEqual({ kind: 'exited', reason: 'exit 1' });
  });

  it('destroys with the grace; what was never started never starts', async () => {
    const { clock, driver, addHost, workers } = world();
    await addHost('h1');
    await clock.resolve(driver.create(spec('noop-a1', 'h1')));
    await clock.resolve(driver.destroy('noop-a1', { host: 'h1', pid: process.pid }, 7_000));
    expect(workers.get('noop-a1')?.grace).toBe(7_000);
    await clock.resolve(driver.destroy('noop-b2', { host: 'h1' }, 1_000));
    expect(await clock.resolve(driver.create(spec('noop-b2', 'h1')))).toMatchObject({ kind: 'exited' });
    expect(workers.has('noop-b2')).toBe(false);
  });

  it('lists more workers than one message holds, also when some go away between the pages (A2)', async () => {
    const { clock, driver, addHost, network, workers } = world();
    await addHost('h1', 1024 * 1024);
    const slots = Array.from({ length: 2_500 }, (_, at) => `noop-${String(at).padStart(5, '0')}`);
    await clock.resolve(Promise.all(slots.map((slot) => driver.create(spec(slot, 'h1')))));
    const { workers: all } = await clock.resolve(driver.list());
    expect(all.map(({ slot }) => slot)).toEqual(slots);
    // The first 200 have ended, and leave the list while it is being read.
    for (const slot of slots.slice(0, 200)) workers.get(slot)?.end('exit 0');
    await clock.run(599_990);
    let requests = 0;
    network.transit = ({ subject, to }) => [subject === subjects.hostDriver('h1') && to === 'h1' && requests++ === 1 ? 100 : 0];
    const { workers: later } = await clock.resolve(driver.list());
    expect(requests).toBe(3);
    expect(later.filter(({ state }) => state === 'running').map(({ slot }) => slot)).toEqual(slots.slice(200));
  });

  it('is unavailable, which says nothing of the outcome, when the host does not answer (H3)', async () => {
    const { clock, driver, addHost, bus } = world();
    const { bus: hostBus } = await addHost('h1');
    const isUnavailable = (error: unknown) => isMusterError(error, 'driver-unavailable');
    expect(await clock.resolve(driver.create(spec('noop-a1', 'h9')).catch(isUnavailable))).toBe(true);
    hostBus.disconnect();
    expect(await clock.resolve(driver.destroy('noop-a1', { host: 'h1' }, 0).catch(isUnavailable))).toBe(true);
    expect(await clock.resolve(driver.list())).toEqual({ workers: [], silentHosts: ['h1'], hosts: [] });
    bus.disconnect();
    expect(await clock.resolve(driver.list().catch(isUnavailable))).toBe(true);
    expect(await clock.resolve(driver.create(spec('noop-a1', undefined)))).toMatchObject({ kind: 'failed', retryable: false });
  });

  it('passes on that a command is not the configuration’s', async () => {
    const { clock, driver, addHost, logger } = world();
    const commands = new AllowedCommands({ clock, logger, read: async () => new Map([['noop', { command: ['node', 'w.ts'], env: {} }]]) });
    await addHost('h1', 1024, { commands });
    const evil = await clock.resolve(driver.create(spec('noop-a1', 'h1', { ...TEMPLATE, command: ['sh', '-c', 'evil'] })));
    expect(evil).toEqual({ kind: 'failed', reason: 'the configuration of this host has another command for pool noop', retryable: false });
    expect(await clock.resolve(driver.create(spec('noop-a1', 'h1', { ...TEMPLATE, command: ['node', 'w.ts'] })))).toMatchObject({
      kind: 'created',
    });
  });
});

describe('forget', () => {
  it('gives up a silent or never known host, not a live one, and knows it again when it beats', async () => {
    const { clock, driver, addHost } = world();
    const { bus } = await addHost('h1');
    await clock.resolve(driver.create(spec('noop-a1', 'h1')));
    expect(driver.forget('h1')).toBe(false);
    bus.disconnect();
    await clock.run(6_000);
    expect((await clock.resolve(driver.list())).silentHosts).toEqual(['h1']);
    expect([driver.forget('h1'), driver.forget('h2')]).toEqual([true, true]);
    expect(await clock.resolve(driver.list())).toEqual({ workers: [], silentHosts: [], hosts: ['h1', 'h2'] });
    expect(driver.capacity(TEMPLATE).kind).toBe('unknown');
    await clock.resolve(driver.destroy('noop-a1', { host: 'h1' }, 0));
    bus.reconnect();
    await clock.run(10);
    expect(driver.capacity(TEMPLATE)).toMatchObject({ max: 4 });
    expect((await clock.resolve(driver.list())).workers).toMatchObject([{ slot: 'noop-a1', state: 'running' }]);
    bus.disconnect();
    await clock.run(6_000);
    expect(await clock.resolve(driver.list())).toEqual({ workers: [], silentHosts: ['h1'], hosts: ['h2'] });
  });
});

describe('a host that leaves', () => {
  it('gets nothing more, and counts no more when its last worker has ended (H2, A3)', async () => {
    const { clock, driver, addHost, workers } = world();
    await addHost('h1', 1024);
    const { agent } = await addHost('h2', 2048);
    await clock.resolve(driver.create(spec('noop-a1', 'h2')));
    const told: WorkerStatus[] = [];
    driver.watch((status) => told.push(status));
    await clock.resolve(agent.leave(7_000));
    expect(workers.get('noop-a1')?.grace).toBe(7_000);
    await clock.run(1);
    expect(told).toMatchObject([{ slot: 'noop-a1', state: 'exited' }]);
    expect(driver.capacity(TEMPLATE)).toMatchObject({ kind: 'bounded', max: 4 });
    expect(driver.place(TEMPLATE, new Map())?.host).toBe('h1');
    expect(await clock.resolve(driver.create(spec('noop-a2', 'h2')))).toEqual({ kind: 'exited', reason: 'host h2 was forgotten' });
    expect(await clock.resolve(driver.list())).toEqual({ workers: [], silentHosts: [], hosts: ['h2', 'h1'] });
  });

  it('is still there, and is given nothing, while a worker of it runs', async () => {
    const { clock, driver, addHost, workers } = world();
    await addHost('h1', 512);
    const { agent, launcher } = await addHost('h2', 4096);
    await clock.resolve(driver.create(spec('noop-a1', 'h2')));
    const { promise: mayEnd, resolve: end } = Promise.withResolvers<void>();
    launcher.destroy = () => mayEnd;
    const leaving = agent.leave();
    await clock.run(1_500);
    expect(driver.place(TEMPLATE, new Map())?.host).toBe('h1');
    expect(driver.capacity(TEMPLATE)).toMatchObject({ max: 2 });
    expect((await clock.resolve(driver.list())).workers).toMatchObject([{ slot: 'noop-a1', state: 'running' }]);
    expect(await clock.resolve(driver.create(spec('noop-a2', 'h2')))).toMatchObject({ kind: 'failed', reason: 'the host is leaving' });
    workers.get('noop-a1')?.end('exit 0');
    end();
    await clock.resolve(leaving);
    await clock.run(1);
    expect(driver.describe().map(({ host }) => host)).toEqual(['h1']);
  });
});

describe('close', () => {
  it('leaves no timer behind', async () => {
    const { clock, driver, addHost } = world();
    const { agent } = await addHost('h1');
    await driver.close();
    await clock.resolve(agent.stop());
    await clock.runUntilIdle();
    expect(clock.pendingTimers).toBe(0);
  });
});
