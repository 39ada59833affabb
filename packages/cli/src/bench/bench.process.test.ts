// The benches as a user runs them: their own cluster, real workers, and their verdict.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@muster/client';
import { eventually, natsServerBinaries, type TempDir, tempDir } from '@muster/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { askAdmin } from '../cluster/ask-admin.ts';
import { findServers } from '../cluster/find-servers.ts';
import { isRunning, type ProcessIdentity, signalProcess } from '../cluster/process-identity.ts';
import { readEnvironment } from '../config.ts';
import type { ReserveReport } from './reserve/reserve-report.ts';
import type { TenantsReport } from './tenants/tenants-report.ts';

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'muster.js');
const WAIT = { timeoutMs: 120_000, everyMs: 100 };

let dir: TempDir;
let bench: Bench | undefined;
/** Everything that was seen to run; ended whatever happens. */
let seen: ProcessIdentity[];

beforeEach(async () => {
  dir = await tempDir();
  [bench, seen] = [undefined, []];
});
afterEach(async () => {
  look();
  bench?.child.kill('SIGKILL');
  for (const one of seen) signalProcess(one, 'SIGKILL');
  await dir[Symbol.asyncDispose]();
});

/** What the data folder of its cluster says that runs. */
function look(): void {
  for (const name of readdirSync(dir.path).filter((entry) => entry.startsWith('muster-'))) {
    const state = join(dir.path, name, 'up.json');
    if (existsSync(state)) seen.push(...(JSON.parse(readFileSync(state, 'utf8')) as { started: ProcessIdentity[] }).started);
    const slots = join(dir.path, name, 'host', 'slots');
    for (const slot of existsSync(slots) ? readdirSync(slots) : []) {
      if (!slot.endsWith('.json')) continue;
      // One that is about to be started has no process yet, and its marker may be empty.
      const marker = JSON.parse(readFileSync(join(slots, slot), 'utf8') || '{}') as Partial<ProcessIdentity>;
      if (marker.pid !== undefined && marker.startTime !== undefined) seen.push({ pid: marker.pid, startTime: marker.startTime });
    }
  }
}

class Bench {
  readonly child: ChildProcess;
  out = '';
  err = '';

  constructor(line: string) {
    this.child = spawn(process.execPath, [launcher, 'bench', ...line.split(' '), '--up', '--json'], {
      cwd: dir.path,
      env: {
        ...process.env,
        MUSTER_NATS_SERVER: natsServerBinaries()[0]?.path,
        MUSTER_NATS_URL: '',
        XDG_RUNTIME_DIR: dir.path,
        TMPDIR: dir.path,
      },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
  }

  /** Where its cluster is, once it is up. */
  async servers(): Promise<string> {
    return eventually(() => {
      const [servers] = /nats:\/\/\S+(?= is up)/.exec(this.err) ?? [];
      if (servers === undefined && this.child.exitCode !== null) throw new Error(this.err);
      return servers ?? false;
    }, WAIT);
  }

  async end(): Promise<number | null> {
    await eventually(() => {
      look();
      return this.child.exitCode !== null || this.child.signalCode !== null;
    }, WAIT);
    return this.child.exitCode;
  }

  /** Its one line. */
  report<T>(): T {
    expect(this.out.trim().split('\n')).toHaveLength(1);
    return JSON.parse(this.out) as T;
  }
}

test('tenants on a cold pool: one intent of floor and tenants, queries on their own data, nothing lost, nothing left', async () => {
  bench = new Bench('tenants --cold --orgs 3 --qps 5 --duration 2s --replicas 2');
  expect(await bench.end(), bench.err).toBe(0);
  const report = bench.report<TenantsReport>();
  expect(report).toMatchObject({
    ok: true,
    orgs: 3,
    replicas: 2,
    connections: 3,
    intents: 1,
    slotsStarted: 8,
    slotsRefilled: 0,
    misses: 3,
    errors: 0,
    lost: 0,
    givenTwice: 0,
    findings: [],
  });
  expect(report.firstMissToIntentMs).toBeGreaterThanOrEqual(0);
  // Seen from outside by looking: late where the bench stood still, and not at all where a worker was warm by then.
  expect(report.firstMissToLastStartMs ?? 0).toBeGreaterThanOrEqual(0);
  expect(report.firstMissTo30WarmMs).toBeGreaterThan(0);
  expect(report.queriesOffered).toBeGreaterThan(0);
  expect(report.queriesPerSecond).toBeCloseTo(report.queriesCompleted / 2, 0);
  expect(report.queryP99Ms).toBeGreaterThanOrEqual(report.queryP50Ms ?? 0);
  expect(seen.length).toBeGreaterThan(5);
  expect(seen.filter(isRunning)).toEqual([]);
});

test('tenants that ask again instead of waiting are as many as they are, however often they ask', async () => {
  // Where the bench stood still for longer than its tenants are expected again, they were no demand when the pool was let go.
  let report: TenantsReport | undefined;
  for (let tries = 1; tries <= 3 && report?.intents !== 1; tries++) {
    bench = new Bench('tenants --cold --retry 100ms --orgs 2 --qps 5 --duration 1s --replicas 1');
    expect(await bench.end(), bench.err).toBe(0);
    report = bench.report<TenantsReport>();
  }
  expect(report).toMatchObject({ ok: true, retryMs: 100, intents: 1, slotsStarted: 7, misses: 2, errors: 0 });
  expect(report?.missAnswers).toBeGreaterThan(2);
});

test('a worker that is killed under its tenant is lost: the report counts it, and the command fails', async () => {
  bench = new Bench('tenants --orgs 2 --qps 5 --duration 20s --replicas 1');
  // As any command of the same user finds it, with the administrator's credentials.
  const environment = readEnvironment({ XDG_RUNTIME_DIR: dir.path });
  const { access } = findServers({ environment, folder: dir.path }, { nats: await bench.servers() });
  await using client = await connect({ servers: [await bench.servers()], ...access });
  const victim = await eventually(async () => {
    const { slots } = await askAdmin(client.bus, { type: 'slots', state: 'reserved.active' });
    return slots[0]?.pid ?? false;
  }, WAIT);
  process.kill(victim, 'SIGKILL');
  expect(await bench.end()).toBe(1);
  const report = bench.report<TenantsReport>();
  expect(report).toMatchObject({ ok: false, lost: 1, givenTwice: 0 });
  expect(report.errors).toBeGreaterThan(0);
  expect(report.findings[0]).toContain('lost');
  expect(bench.err).toContain('1 lost, 0 given twice');
  expect(seen.filter(isRunning)).toEqual([]);
});

test.each([
  [
    'a closed loop with parked workers',
    'reserve --clients 3 --duration 3s --rounds 2 --warm-up 100ms',
    { mode: 'closed', recycle: 'same-org' },
  ],
  [
    'an open loop with shared workers',
    'reserve --rate 50 --duration 3s --rounds 2 --warm-up 0 --recycle shared',
    { mode: 'open', recycle: 'shared' },
  ],
])('reserve: %s beside the skeleton, in one history', async (_, line, expected) => {
  bench = new Bench(`${line} --replicas 2`);
  expect(await bench.end(), bench.err).toBe(0);
  const report = bench.report<ReserveReport>();
  expect(report).toMatchObject({ ok: true, ...expected, replicas: 2, misses: 0, errors: 0, lost: 0, givenTwice: 0 });
  expect(report.rounds.map(({ target }) => target)).toEqual(['muster', 'skeleton', 'skeleton', 'muster']);
  expect(report.reservationsPerSecond).toBeGreaterThan(0);
  expect(report.skeletonPerSecond).toBeGreaterThan(0);
  expect(report.p99Ms).toBeGreaterThanOrEqual(report.p50Ms ?? 0);
  expect(report.skeletonP50Ms).toBeGreaterThan(0);
  expect(seen.filter(isRunning)).toEqual([]);
});

test('reserve: a burst on a warm pool, all answered', async () => {
  bench = new Bench('reserve --burst 20 --rounds 1 --replicas 1');
  expect(await bench.end(), bench.err).toBe(0);
  const report = bench.report<ReserveReport>();
  expect(report).toMatchObject({ ok: true, mode: 'burst', clients: 20, misses: 0, errors: 0 });
  expect(report.allAnsweredMs).toBeGreaterThan(0);
  expect(report.skeletonAllAnsweredMs).toBeGreaterThan(0);
});
