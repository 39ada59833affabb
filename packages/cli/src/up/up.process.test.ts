import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { eventually, natsServerBinaries, type TempDir, tempDir } from '@muster/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identityOf, isRunning, type ProcessIdentity, signalProcess } from '../cluster/process-identity.ts';
import { RunFiles } from '../cluster/run-file.ts';
import type { ClusterReady } from './local-cluster.ts';

const fixtures = join(import.meta.dirname, '..', '..', 'test', 'fixtures');
const yaml = 'cluster: { name: test }\npools: { duckdb: { driver: process, floor: 5, worker: { command: [node] } } }\n';
const WAIT = { timeoutMs: 120_000, everyMs: 50 };

let dir: TempDir;
let ups: Up[];

beforeEach(async () => {
  dir = await tempDir();
  ups = [];
  writeFileSync(join(dir.path, 'muster.yaml'), yaml);
});
afterEach(async () => {
  for (const up of ups) {
    up.child.kill('SIGKILL');
    for (const one of up.seen) signalProcess(one, 'SIGKILL');
  }
  await dir[Symbol.asyncDispose]();
});

/** One run of `muster up` with the doubles of the services. */
class Up {
  readonly child: ChildProcess;
  readonly seen: ProcessIdentity[] = [];
  out = '';
  err = '';

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    ups.push(this);
    this.child = spawn(process.execPath, [join(fixtures, 'up.ts'), 'muster.yaml', ...args], {
      cwd: dir.path,
      env: {
        ...process.env,
        MUSTER_NATS_SERVER: natsServerBinaries()[0]?.path,
        FIXTURE_DIARY: join(dir.path, 'diary'),
        XDG_RUNTIME_DIR: dir.path,
        TMPDIR: dir.path,
        ...env,
      },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
  }

  async ready(): Promise<ClusterReady & { folder: string }> {
    const isThere = () => {
      if (this.child.exitCode !== null) throw new Error(`ended: ${this.err}`);
      return this.out.endsWith('\n');
    };
    await eventually(isThere, WAIT);
    const ready = JSON.parse(this.out) as ClusterReady & { folder: string };
    this.look(ready.folder);
    return ready;
  }

  /** Remembers what runs in a data folder, so that it is ended whatever happens. */
  look(folder: string): { started: { name: string; pid: number; startTime: string }[]; natsPort: number } {
    const state = JSON.parse(readFileSync(join(folder, 'up.json'), 'utf8')) as ReturnType<Up['look']>;
    const marker = join(folder, 'host', 'slots', 'duckdb-w1.json');
    if (existsSync(marker)) this.seen.push(JSON.parse(readFileSync(marker, 'utf8')) as ProcessIdentity);
    this.seen.push(...state.started);
    return state;
  }

  async exit(): Promise<number | null> {
    await eventually(() => this.child.exitCode !== null || this.child.signalCode !== null, WAIT);
    return this.child.exitCode;
  }
}

const diary = (): string[] => readFileSync(join(dir.path, 'diary'), 'utf8').trim().split('\n');
const tryListen = (server: Server, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
/** Never of what is not known: pid 0 is the group of this process. */
const kill = (one: ProcessIdentity | undefined): void => {
  if (one === undefined || !signalProcess(one, 'SIGKILL')) throw new Error('it does not run');
};
const running = (up: Up): ProcessIdentity[] => up.seen.filter(isRunning);

test('brings everything up, says where it is, and takes everything down in order', async () => {
  const up = new Up(['2']);
  const ready = await up.ready();
  expect(ready.nats).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/);
  expect(ready.replicas).toHaveLength(2);
  expect(ready.hosts).toEqual([{ id: 'h1', pid: expect.any(Number) }]);
  expect(ready.pools).toMatchObject([{ pool: 'duckdb', warm: 2 }]);
  expect(up.err).toContain('pools.duckdb.max unset');
  const key = await (await fetch(ready.replicas[0]?.http ?? '')).text();
  expect(key).toMatch(/^[\w-]{43}$/);
  expect(new RunFiles(join(dir.path, 'muster')).running()).toMatchObject([{ cluster: 'test', servers: [ready.nats], pid: up.child.pid }]);
  expect(running(up)).toHaveLength(5);

  up.child.kill('SIGTERM');
  expect(await up.exit()).toBe(0);
  expect(running(up)).toEqual([]);
  expect(diary().slice(-3)).toEqual(['replica ends', 'replica ends', 'host ends, 1 workers run']);
  expect(existsSync(ready.folder)).toBe(false);
  expect(readdirSync(join(dir.path, 'muster'))).toEqual([]);
});

test('starts what dies again: a replica at its old address, the agent without a second worker, NATS on its port', async () => {
  const up = new Up(['1']);
  const ready = await up.ready();
  for (const name of ['replica-1', 'host', 'nats-server']) {
    const before = up.look(ready.folder).started.find((one) => one.name === name);
    kill(before);
    await eventually(() => {
      const now = up.look(ready.folder).started.find((one) => one.name === name);
      return now !== undefined && now.pid !== before?.pid && isRunning(now);
    }, WAIT);
  }
  expect(up.look(ready.folder).natsPort).toBe(Number(new URL(ready.nats).port));
  await eventually(() => fetch(ready.replicas[0]?.http ?? '').then((response) => response.ok), WAIT);
  expect(diary().filter((line) => line === 'worker starts')).toHaveLength(1);
  up.child.kill('SIGTERM');
  expect(await up.exit()).toBe(0);
  expect(running(up)).toEqual([]);
});

test('a replica that ends before it is ready is tried at its old address three times, then at any', async () => {
  const up = new Up(['1']);
  const ready = await up.ready();
  const url = ready.replicas[0]?.http ?? '';
  const readyFile = join(ready.folder, 'run', 'replica-1.json');
  const failedStarts = () => up.err.split('replica-1 ended (exit 1)').length - 1;
  // The next one does not start, the one after it does.
  writeFileSync(join(dir.path, 'diary.broken'), '1');
  kill(running(up).find(({ pid }) => pid === ready.replicas[0]?.pid));
  await eventually(() => failedStarts() === 1 && existsSync(readyFile), WAIT);
  expect((await fetch(url)).ok).toBe(true);

  // The next ones do not get their address, and are held until it is somebody else's.
  writeFileSync(join(dir.path, 'diary.held'), '');
  kill(up.look(ready.folder).started.find(({ name }) => name === 'replica-1'));
  const squatter = createServer((socket) => socket.destroy());
  await eventually(() => tryListen(squatter, Number(new URL(url).port)), WAIT);
  rmSync(join(dir.path, 'diary.held'));
  await eventually(() => failedStarts() === 1 + 3 && existsSync(readyFile), WAIT);
  squatter.close();
  const again = JSON.parse(readFileSync(readyFile, 'utf8')) as { http: string };
  expect(again.http).not.toBe(url);
  expect((await fetch(again.http)).ok).toBe(true);
  up.look(ready.folder);
  up.child.kill('SIGTERM');
  expect(await up.exit()).toBe(0);
});

test('with --data it comes back after kill -9: what was left is ended, the worker kept, the port, key and applied file the same', async () => {
  const first = new Up(['1', 'data']);
  const ready = await first.ready();
  const key = readFileSync(join(ready.folder, 'cluster.key'), 'utf8');
  const other = new Up(['1', 'data']);
  expect(await other.exit()).toBe(1);
  expect(other.err).toContain(`in use by another muster up (process ${first.child.pid})`);

  first.child.kill('SIGKILL');
  await first.exit();
  expect(running(first)).toHaveLength(4);
  const second = new Up(['1', 'data']);
  const again = await second.ready();
  expect(again.nats).toBe(ready.nats);
  expect(readFileSync(join(ready.folder, 'cluster.key'), 'utf8')).toBe(key);
  expect(running(first).filter((one) => !second.seen.some(({ pid }) => pid === one.pid))).toEqual([]);
  expect(diary().filter((line) => line === 'worker starts')).toHaveLength(1);
  expect(diary().filter((line) => line === 'apply')).toHaveLength(1);

  second.child.kill('SIGTERM');
  expect(await second.exit()).toBe(0);
  writeFileSync(join(dir.path, 'muster.yaml'), `${yaml}orgs: { acme: { max: 3 } }\n`);
  const third = new Up(['1', 'data']);
  expect((await third.ready()).nats).toBe(ready.nats);
  expect(diary().filter((line) => line === 'apply')).toHaveLength(2);
  third.child.kill('SIGTERM');
  expect(await third.exit()).toBe(0);
});

test('clears up after one without --data that was killed', async () => {
  const first = new Up(['1']);
  const { folder } = await first.ready();
  first.child.kill('SIGKILL');
  await first.exit();
  const second = new Up(['1']);
  await second.ready();
  expect(second.err).toContain(`clearing up ${folder}`);
  expect(running(first)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
  second.child.kill('SIGTERM');
  expect(await second.exit()).toBe(0);
});

test('a service that does not start ends it in one line with its last words, and nothing stays', async () => {
  writeFileSync(join(dir.path, 'diary.broken'), '');
  const up = new Up(['1', 'data']);
  await eventually(() => existsSync(join(dir.path, 'data', 'up.json')), WAIT);
  expect(await up.exit()).toBe(1);
  expect(up.err).toContain('failed: replica-1 does not start (exit 1): muster.yaml: pools.duckdb.floor: must be a whole number');
  up.look(join(dir.path, 'data'));
  expect(running(up)).toEqual([]);
});

test('a second signal ends at once what does not want to end', async () => {
  const up = new Up(['1'], { FIXTURE_STUBBORN: '1' });
  await up.ready();
  up.child.kill('SIGTERM');
  await eventually(() => up.err.includes('stopping 1 workers'), WAIT);
  const worker = running(up)[0];
  expect(worker).toBeDefined();
  const stoppedMs = performance.now();
  await eventually(() => {
    if (performance.now() - stoppedMs > 1_200) up.child.kill('SIGTERM');
    return up.child.exitCode !== null || up.child.signalCode !== null;
  }, WAIT);
  expect(running(up)).toEqual([]);
  expect(up.err).not.toContain('did not end in');
  expect(readdirSync(dir.path).filter((name) => name.startsWith('muster-'))).toEqual([]);
});

test('the identity of a process is its pid and its start', () => {
  const me = identityOf(process.pid);
  expect(me?.pid).toBe(process.pid);
  expect(isRunning({ pid: process.pid, startTime: 'another' })).toBe(false);
  expect(signalProcess({ pid: process.pid, startTime: 'another' }, 'SIGKILL')).toBe(false);
});
