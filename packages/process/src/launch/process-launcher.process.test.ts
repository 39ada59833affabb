import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, MemoryLogger, SystemClock } from '@muster/ports';
import { eventually, tempDir } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import type { LaunchSpec } from './launcher.ts';
import { ProcessLauncher, type ProcessLimits } from './process-launcher.ts';
import { startTimeOf } from './process-probe.ts';

const PATH = '/usr/local/bin:/usr/bin:/bin';

/** The real clock, whose wall can be put forward. */
class ShiftedClock implements Clock {
  readonly #clock = new SystemClock();
  shiftMs = 0;

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }
  wallMs(): number {
    return this.#clock.wallMs() + this.shiftMs;
  }
  setTimer(delayMs: number, fire: () => void) {
    return this.#clock.setTimer(delayMs, fire);
  }
}

async function world(options: { limits?: Partial<ProcessLimits>; path?: string; workFolder?: string } = {}) {
  await using resources = new AsyncDisposableStack();
  const stateFolder = resources.use(await tempDir()).path;
  const clock = new ShiftedClock();
  const logger = new MemoryLogger();
  const launcher = new ProcessLauncher({
    host: 'h1',
    cluster: 'test',
    natsUrl: 'nats://n:1',
    stateFolder,
    workFolder: options.workFolder ?? stateFolder,
    baseEnv: { PATH: options.path ?? PATH },
    clock,
    logger,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  await launcher.recover();
  resources.defer(async () => {
    await Promise.all(
      launcher.list().map(({ slot, handle, state }) => (state === 'exited' ? Promise.resolve() : launcher.destroy(slot, handle, 0))),
    );
    await launcher.close();
  });
  const held = resources.move();
  return { stateFolder, clock, logger, launcher, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

function spec(slot: string, command: readonly string[] = ['true'], env: Readonly<Record<string, string>> = {}): LaunchSpec {
  return { slot, shard: 'pool', pool: 'pool', command, env, token: `token-${slot}` };
}

async function allEnded(launcher: ProcessLauncher, count: number): Promise<void> {
  await eventually(() => expect(launcher.list().filter(({ state }) => state === 'exited').length).toBe(count), { timeoutMs: 60_000 });
}

describe('ProcessLauncher', () => {
  it('gives a worker its slot, its pool’s environment, and nothing of the agent’s own but what is named', async () => {
    await using at = await world();
    await at.launcher.create(spec('pool-a', ['env'], { LOG_LEVEL: 'info', MUSTER_SLOT: 'another' }));
    await allEnded(at.launcher, 1);
    const lines = (await readFile(join(at.stateFolder, 'logs', 'pool-a.log'), 'utf8')).trim().split('\n').sort();
    expect(lines).toEqual([
      'LOG_LEVEL=info',
      'MUSTER_CLUSTER=test',
      'MUSTER_NATS_URL=nats://n:1',
      'MUSTER_SHARD=pool',
      'MUSTER_SLOT=pool-a',
      'MUSTER_TOKEN=token-pool-a',
      `PATH=${PATH}`,
    ]);
  });

  it('fails for good where there is no such program, and where a start does not come about', async () => {
    await using at = await world();
    expect(await at.launcher.create(spec('pool-a', ['no-such-program']))).toEqual({
      kind: 'failed',
      reason: 'there is no program no-such-program',
      retryable: false,
    });
    await using nowhere = await world({ workFolder: '/nowhere' });
    expect(await nowhere.launcher.create(spec('pool-a'))).toMatchObject({ kind: 'failed', retryable: false });
    expect(await nowhere.launcher.create(spec('pool-a'))).toMatchObject({
      kind: 'exited',
      reason: expect.stringContaining('could not be started'),
    });
    expect(nowhere.launcher.running).toBe(0);
  });

  it('forgets what ended a day ago, with its log and its lock', async () => {
    await using at = await world({ limits: { markersMax: 3 } });
    for (const slot of ['pool-a', 'pool-b']) await at.launcher.create(spec(slot));
    await at.launcher.create(spec('pool-c', ['sleep', '1000']));
    await allEnded(at.launcher, 2);
    at.clock.shiftMs = 25 * 3_600_000;
    await at.launcher.create(spec('pool-d', ['sleep', '1000']));
    expect(at.launcher.list().map(({ slot }) => slot)).toEqual(['pool-c', 'pool-d']);
    expect((await readdir(join(at.stateFolder, 'slots'))).sort()).toEqual(['pool-c.json', 'pool-d.json']);
    expect((await readdir(join(at.stateFolder, 'logs'))).sort()).toEqual(['pool-c.log', 'pool-d.log']);
    expect(at.launcher.running).toBe(2);
  });

  it('forgets the oldest beyond its bound, but nothing that could be asked for again soon: then it starts nothing', async () => {
    await using at = await world({ limits: { markersMax: 3 } });
    for (const slot of ['pool-a', 'pool-b', 'pool-c']) await at.launcher.create(spec(slot));
    await allEnded(at.launcher, 3);
    await expect(at.launcher.create(spec('pool-d'))).rejects.toMatchObject({ code: 'overloaded', retryable: true });
    expect(await at.launcher.create(spec('pool-a'))).toMatchObject({ kind: 'exited' });
    at.clock.shiftMs = 2 * 3_600_000;
    expect(await at.launcher.create(spec('pool-d', ['sleep', '1000']))).toMatchObject({ kind: 'created' });
    expect((await readdir(join(at.stateFolder, 'slots'))).length).toBe(3);
  });

  it('lists what ended for ten minutes, and remembers it longer', async () => {
    await using at = await world();
    await at.launcher.create(spec('pool-a', ['false']));
    await allEnded(at.launcher, 1);
    expect(at.launcher.list()).toMatchObject([{ slot: 'pool-a', state: 'exited', reason: 'exit 1' }]);
    at.clock.shiftMs = 660_000;
    expect(at.launcher.list()).toEqual([]);
    expect(await at.launcher.create(spec('pool-a'))).toEqual({ kind: 'exited', reason: 'exit 1' });
  });

  it('says once that there is no flock, and starts workers without', async () => {
    await using at = await world({ path: '/nowhere' });
    await Promise.all(['pool-a', 'pool-b'].map((slot) => at.launcher.create(spec(slot, [process.execPath, '--eval', '0']))));
    await allEnded(at.launcher, 2);
    expect(at.launcher.list().map(({ reason }) => reason)).toEqual(['exit 0', 'exit 0']);
    expect(at.logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'no flock --no-fork on this machine: only the markers keep a slot from being started twice',
    ]);
  });

  it('ends what a worker leaves behind when it ends in order', async () => {
    await using at = await world();
    const script = '(trap "" TERM; exec sleep 1000) & echo "child $!"; trap "exit 0" TERM; echo ready; wait';
    const outcome = await at.launcher.create(spec('pool-a', ['sh', '-c', script]));
    if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
    const log = join(at.stateFolder, 'logs', 'pool-a.log');
    await eventually(async () => expect(await readFile(log, 'utf8')).toContain('ready'));
    const child = Number(/child (\d+)/.exec(await readFile(log, 'utf8'))?.[1]);
    await at.launcher.destroy('pool-a', outcome.handle, 10_000);
    expect(at.launcher.list()).toMatchObject([{ state: 'exited', reason: 'exit 0' }]);
    await eventually(async () => expect(await startTimeOf(child)).toBeUndefined());
  });

  it('does not touch a process that is not the one it is told to stop', async () => {
    await using at = await world();
    const outcome = await at.launcher.create(spec('pool-a', ['sleep', '1000']));
    if (outcome.kind !== 'created') throw new Error(JSON.stringify(outcome));
    await at.launcher.destroy('pool-a', { ...outcome.handle, startTime: 'another' }, 0);
    expect(at.launcher.list()).toMatchObject([{ slot: 'pool-a', state: 'running' }]);
    await at.launcher.destroy('pool-a', outcome.handle, 10_000);
    expect(at.launcher.list()).toMatchObject([{ slot: 'pool-a', state: 'exited', reason: 'SIGTERM' }]);
  });
});
