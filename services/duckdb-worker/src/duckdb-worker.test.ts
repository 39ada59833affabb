import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MemoryBus, MemoryLogger, MemoryNetwork, SeededRandom, SystemClock } from '@muster/ports';
import { startWorker } from '@muster/worker';
import { expect, test, vi } from 'vitest';
import { LARGE, LARGE_ROWS, ownerOf, SHARD, SLOT } from '../test/owner.ts';
import { makeFolder, PATIENT } from '../test/serving.ts';
import { readConfig } from './config.ts';
import { openDuckdbWorker } from './duckdb-worker.ts';

// Real statements run here, on a machine that may be busy.
vi.setConfig({ testTimeout: 30_000 });

async function world() {
  const folder = await makeFolder();
  const clock = new SystemClock();
  const logger = new MemoryLogger();
  const network = new MemoryNetwork({ clock });
  const owner = await ownerOf(new MemoryBus({ network, name: 'owner' }));
  const config = readConfig({ MUSTER_DUCKDB_DATA: folder.path, MUSTER_DUCKDB_MEMORY: '64MiB' });
  const duckdb = await openDuckdbWorker(config, { slot: SLOT, clock, logger });
  const worker = startWorker({
    ...duckdb.handlers,
    bus: new MemoryBus({ network, name: 'worker' }),
    clock,
    random: new SeededRandom(7),
    logger,
    identity: { cluster: 'demo', slot: SLOT, shard: SHARD, token: 'slot-token' },
    endpoint: duckdb.endpoint,
    version: '1.0.0',
  });
  duckdb.attach(worker);
  return {
    ...owner,
    folder: folder.path,
    logger,
    worker,
    async [Symbol.asyncDispose]() {
      await worker.drain('the test is over', 0);
      await duckdb.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test('an activation opens the database that it names, by default the slot’s', async () => {
  await using it = await world();
  expect(await it.query(1, 'SELECT 1')).toMatchObject({ status: 409 });
  expect(await it.activate(1, 'acme')).toMatchObject({ ok: true });
  expect((await it.query(1, 'CREATE TABLE t AS SELECT 7 AS i')).status).toBe(200);
  expect(await it.release(1)).toEqual({ ok: true });
  expect(await it.activate(2, 'acme', { database: 'sales' })).toMatchObject({ ok: true });
  expect(await it.query(2, 'SELECT * FROM t')).toMatchObject({ status: 400 });
  expect((await readdir(join(it.folder, 'acme'))).toSorted()).toEqual([`${SLOT}.duckdb`, 'sales.duckdb']);
});

test('a token is good for its own reservation only', async () => {
  await using it = await world();
  await it.activate(1, 'acme');
  expect((await it.query(1, 'SELECT 1')).status).toBe(200);
  expect((await it.query(2, 'SELECT 1')).status).toBe(401);
  await it.release(1);
  expect((await it.query(1, 'SELECT 1')).status).toBe(409);
  await it.activate(2, 'acme');
  expect([(await it.query(1, 'SELECT 1')).status, (await it.query(2, 'SELECT 1')).status]).toEqual([401, 200]);
});

test('a parked worker holds no file, and the same org finds its data again', async () => {
  await using it = await world();
  await it.activate(1, 'acme', { database: 'sales' });
  await it.query(1, 'CREATE TABLE t AS SELECT 7 AS i');
  const running = it.query(1, 'SELECT count(*) FROM range(10000000000) a, range(1000) b');
  await it.release(1);
  expect([409, 410]).toContain((await running).status);
  expect(await readdir(join(it.folder, 'acme'))).toEqual(['sales.duckdb']);
  await it.activate(2, 'acme', { database: 'sales' });
  expect((await it.query(2, 'SELECT * FROM t')).body.rows).toEqual([[7]]);
});

test('another org is served after a reset only, and nothing of the first is left', async () => {
  await using it = await world();
  await it.activate(1, 'acme', { database: 'sales' });
  await it.query(1, "ATTACH ':memory:' AS scratch; CREATE TABLE scratch.t AS SELECT 'of acme' AS s");
  await it.release(1);
  expect(await it.activate(2, 'globex', { database: 'sales' })).toMatchObject({ ok: false });
  expect(await it.reset(2)).toEqual({ ok: true });
  expect(await it.activate(3, 'globex', { database: 'sales' })).toMatchObject({ ok: true });
  expect(await it.query(3, 'SELECT * FROM scratch.t')).toMatchObject({ status: 400 });
  expect((await it.query(3, "SELECT database_name FROM duckdb_databases() WHERE NOT internal")).body.rows).toEqual([['sales']]); // biome-ignore format: one line
  expect((await it.query(3, 'SELECT table_name FROM duckdb_tables()')).body.rows).toEqual([]);
});

test.each([
  [{ database: '../globex/sales' }, 'activation.database: must be a name'],
  [{ database: 7 }, 'activation.database: must be a name'],
  [{ database: '' }, 'activation.database: must be a name'],
  [{ databse: 'sales' }, 'activation.databse: is not a known field'],
])('the activation %j is refused because of the request, and the worker is as it was', async (activation, message) => {
  await using it = await world();
  expect(await it.activate(1, 'acme', activation)).toMatchObject({
    ok: false,
    cause: 'request',
    message: expect.stringContaining(message),
  });
  expect(await readdir(it.folder)).toEqual([]);
  expect(await it.query(1, 'SELECT 1')).toMatchObject({ status: 409 });
});

test('a drain lets the query finish that runs, refuses the next, and ends', async () => {
  await using it = await world();
  await it.activate(1, 'acme');
  const running = await it.fetchQuery(1, LARGE);
  const { endpoint } = await it.hello();
  const health = async () => (await fetch(`${endpoint}/health`)).json();
  expect(await health()).toMatchObject({ running: 1 });
  await it.drain(1, 60_000);
  await expect.poll(health, PATIENT).toMatchObject({ state: 'draining' });
  expect((await it.query(1, 'SELECT 1')).status).toBe(503);
  expect(await running.json()).toMatchObject({ rowCount: LARGE_ROWS });
  expect(await it.worker.ended).toBe('told to drain');
  await expect(fetch(`${endpoint}/health`)).rejects.toThrow();
});
