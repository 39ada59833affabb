// The command as a user runs it, on real services: NATS, replicas, a host agent, DuckDB workers.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@muster/client';
import type { AdminAnswers } from '@muster/protocol';
import { eventually, natsServerBinaries, type TempDir, tempDir } from '@muster/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identityOf, isRunning, type ProcessIdentity, signalProcess } from '../cluster/process-identity.ts';
import type { ClusterReady } from './local-cluster.ts';

const root = join(import.meta.dirname, '..', '..', '..', '..');
const launcher = join(root, 'packages', 'cli', 'bin', 'muster.js');
const worker = join(root, 'services', 'duckdb-worker', 'src', 'main.ts');
const WAIT = { timeoutMs: 120_000, everyMs: 100 };

let dir: TempDir;
let ups: ChildProcess[];
/** Everything that was seen to run; ended whatever happens. */
let seen: ProcessIdentity[];

beforeEach(async () => {
  dir = await tempDir();
  [ups, seen] = [[], []];
  const env = JSON.stringify({ MUSTER_DUCKDB_DATA: join(dir.path, 'duckdb') });
  const pool = `{ driver: process, floor: 2, worker: { command: [node, ${JSON.stringify(worker)}], env: ${env} } }`;
  writeFileSync(join(dir.path, 'muster.yaml'), `cluster: { name: real }\npools: { duckdb: ${pool} }\n`);
});
afterEach(async () => {
  for (const child of ups) child.kill('SIGKILL');
  look();
  for (const one of seen) signalProcess(one, 'SIGKILL');
  await dir[Symbol.asyncDispose]();
});

const environment = () => ({
  ...process.env,
  MUSTER_NATS_SERVER: natsServerBinaries()[0]?.path,
  MUSTER_NATS_URL: '',
  XDG_RUNTIME_DIR: dir.path,
  LOG_LEVEL: 'info',
});

/** What the data folder says that runs. */
function look(): { started: { name: string; pid: number; startTime: string }[] } {
  const read = <T>(...path: string[]): T => JSON.parse(readFileSync(join(dir.path, 'data', ...path), 'utf8') || '{}') as T;
  const slots = join(dir.path, 'data', 'host', 'slots');
  if (existsSync(slots)) {
    for (const name of readdirSync(slots).filter((entry) => entry.endsWith('.json'))) {
      const marker = read<Partial<ProcessIdentity>>('host', 'slots', name);
      // A slot that was claimed, or refused for good, and never started has none; while it is claimed the file is empty.
      if (marker.pid !== undefined && marker.startTime !== undefined) seen.push({ pid: marker.pid, startTime: marker.startTime });
    }
  }
  const state = existsSync(join(dir.path, 'data', 'up.json')) ? read<ReturnType<typeof look>>('up.json') : { started: [] };
  seen.push(...state.started);
  return state;
}

async function up(): Promise<{ child: ChildProcess; ready: ClusterReady }> {
  const child = spawn(process.execPath, [launcher, 'up', '--replicas', '2', '--data', 'data', '--json'], {
    cwd: dir.path,
    env: environment(),
  });
  ups.push(child);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(`ended: ${err}`);
    return out.endsWith('\n');
  }, WAIT);
  look();
  return { child, ready: JSON.parse(out) as ClusterReady };
}

function muster(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [launcher, ...args], { cwd: dir.path, env: environment() }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

async function ask<T>(...args: string[]): Promise<T> {
  const { out, err } = await muster(...args, '--json');
  if (out === '') throw new Error(err);
  return JSON.parse(out) as T;
}

test('a reservation runs SQL, outlives its owner and the whole cluster but its worker, and nothing is left at the end', async () => {
  const { child, ready } = await up();
  expect(ready.pools).toMatchObject([{ pool: 'duckdb', floor: 2 }]);
  expect(await muster('reserve', 'duckdb', '--org', 'acme', '--sql', 'select 42 as answer')).toMatchObject({
    code: 0,
    out: 'answer\n    42\n',
  });
  expect(await muster('reserve', 'duckdb', '--org', 'acme', '--sql', 'selec')).toMatchObject({ code: 1 });
  expect(await muster('reserve', 'none', '--org', 'acme')).toMatchObject({ code: 3 });

  await using client = await connect({ servers: [ready.nats] });
  const held = await client.reserve('duckdb', { org: 'held', waitMs: 60_000, ttlMs: 10_000 });
  const status = () => ask<AdminAnswers['status']>('status');
  // There is none for a moment where one that stood still was taken for lost.
  const { id: owner, pid } = await eventually(async () => {
    const shard = (await status()).shards.find((one) => one.shard === 'duckdb');
    return ready.replicas.find(({ id }) => id === shard?.owner) ?? (false as const);
  }, WAIT);
  process.kill(pid, 'SIGKILL');
  await eventually(async () => {
    const now = (await status()).shards.find(({ shard }) => shard === 'duckdb');
    return now?.owner !== owner;
  }, WAIT);
  // Held for several leases since, by renewals that the new owner takes.
  await eventually(async () => {
    const { slots } = await ask<AdminAnswers['slots']>('slots', '--org', 'held');
    expect(slots).toMatchObject([{ reservation: held.id, state: 'reserved.active' }]);
    return (slots[0]?.ageMs ?? 0) > 22_000;
  }, WAIT);
  expect(held.lostReason).toBeUndefined();
  await held.release();

  const kept = await client.tryReserve('duckdb', { org: 'kept', waitMs: 60_000, ttlMs: 600_000 });
  if (!kept.ok) throw new Error(JSON.stringify(kept));
  child.kill('SIGKILL');
  for (const one of look().started) signalProcess(one, 'SIGKILL');
  const again = await up();
  expect(again.ready.nats).toBe(ready.nats);
  const { slots } = await ask<AdminAnswers['slots']>('slots', '--org', 'kept');
  expect(slots).toMatchObject([{ reservation: kept.reservation.id, endpoint: kept.reservation.endpoint }]);
  expect(identityOf(slots[0]?.pid ?? 0)).toBeDefined();
  expect(await muster('release', kept.reservation.id)).toMatchObject({ code: 0 });

  look();
  again.child.kill('SIGINT');
  await eventually(() => again.child.exitCode !== null || again.child.signalCode !== null, WAIT);
  expect(again.child.exitCode).toBe(0);
  look();
  expect(seen.filter(isRunning)).toEqual([]);
  // Where it was: at NATS's usual port may be another cluster of this machine.
  expect(await muster('status', '--nats', ready.nats)).toMatchObject({ code: 1, err: expect.stringContaining('hint:') });
});
