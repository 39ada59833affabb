import { existsSync } from 'node:fs';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '@muster/ports';
import { expect, test, vi } from 'vitest';
import { LIMITS, makeFolder, PATIENT } from '../test/serving.ts';
import { Database } from './database.ts';
import { DatabaseRefused, locateDatabase } from './database-file.ts';
import { Interrupted, Interruption } from './interruption.ts';
import type { StatementResult } from './session.ts';
import { Tenancy } from './tenancy.ts';

// Real statements run here, on a machine that may be busy.
vi.setConfig({ testTimeout: 30_000 });

const clock = new SystemClock();

async function rowsOf(result: StatementResult): Promise<unknown[]> {
  const rows: unknown[] = [];
  for await (const chunk of result.chunks()) for (const row of chunk) rows.push(JSON.parse(row));
  return rows;
}

async function tenancy(limits: Partial<typeof LIMITS> = {}) {
  const folder = await makeFolder();
  const it = new Tenancy({ dataFolder: folder.path, limits: { ...LIMITS, ...limits }, clock });
  const run = (sql: string, interruption = new Interruption()) => {
    if (it.database === undefined) throw new Error('no database is open');
    return it.database.query({ sql }, interruption, rowsOf);
  };
  return {
    it,
    folder: folder.path,
    run,
    async [Symbol.asyncDispose]() {
      await it.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test('the data of an org lies in its own file and is there again', async () => {
  await using worker = await tenancy();
  await worker.it.open('acme', 'sales');
  await worker.run('CREATE TABLE t AS SELECT 7 AS i');
  await worker.it.open('acme', 'other');
  await expect(worker.run('SELECT * FROM t')).rejects.toThrow('does not exist');
  await worker.it.open('globex', 'sales');
  await expect(worker.run('SELECT * FROM t')).rejects.toThrow('does not exist');
  await worker.it.open('acme', 'sales');
  expect(await worker.run('SELECT * FROM t')).toEqual([[7]]);
  await worker.it.close();
  expect((await readdir(worker.folder)).toSorted()).toEqual(['acme', 'globex']);
  expect((await readdir(join(worker.folder, 'acme'))).toSorted()).toEqual(['other.duckdb', 'sales.duckdb']);
});

test.each(['', '.', '..', '../globex/sales', 'a/b', 'a\\b', 'a.duckdb', 'a\0b', 'a b', 'x'.repeat(129), ':memory:'])(
  'the database name %j is refused, and so is the org',
  async (name) => {
    await using folder = await makeFolder();
    await expect(locateDatabase(folder.path, 'acme', name)).rejects.toBeInstanceOf(DatabaseRefused);
    await expect(locateDatabase(folder.path, name, 'sales')).rejects.toBeInstanceOf(DatabaseRefused);
    expect(await readdir(folder.path)).not.toContain('globex');
  },
);

test('a link to the folder or the file of somebody else is refused', async () => {
  await using folder = await makeFolder();
  await mkdir(join(folder.path, 'globex'));
  await writeFile(join(folder.path, 'globex', 'sales.duckdb'), '');
  await symlink(join(folder.path, 'globex'), join(folder.path, 'acme'));
  await expect(locateDatabase(folder.path, 'acme', 'sales')).rejects.toThrow('is a link');
  await mkdir(join(folder.path, 'initech'));
  await symlink(join(folder.path, 'globex', 'sales.duckdb'), join(folder.path, 'initech', 'sales.duckdb'));
  await expect(locateDatabase(folder.path, 'initech', 'sales')).rejects.toThrow('is not a file');
});

test('a file that is no database is refused in words without the folders of this machine', async () => {
  await using folder = await makeFolder();
  const file = await locateDatabase(folder.path, 'acme', 'broken');
  await writeFile(file.path, 'not a database '.repeat(1_000));
  const refused = await Database.open(file, LIMITS, clock).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(DatabaseRefused);
  expect((refused as Error).message).toMatch(/^database broken of org acme cannot be opened: .*not a valid DuckDB/s);
  expect((refused as Error).message).not.toContain(folder.path);
});

test('SQL reaches no other file, and cannot change that', async () => {
  await using worker = await tenancy();
  await worker.it.open('globex', 'secrets');
  await worker.run("CREATE TABLE secret AS SELECT 'hidden' AS s");
  await worker.it.open('acme', 'other');
  await worker.run('CREATE TABLE t AS SELECT 1 AS i');
  await worker.it.open('acme', 'sales');
  const file = (org: string, name: string) => `'${join(worker.folder, org, name)}'`;
  const secrets = file('globex', 'secrets.duckdb');
  const outside = [
    `ATTACH ${secrets} AS s`,
    `ATTACH ${secrets} AS s (READ_ONLY)`,
    `ATTACH ${file('acme', 'other.duckdb')} AS o`,
    `SELECT * FROM read_blob(${secrets})`,
    `SELECT * FROM read_text('/etc/hostname')`,
    `SELECT * FROM read_csv('/etc/passwd')`,
    `SELECT * FROM glob('${worker.folder}/*')`,
    `SELECT * FROM ${secrets}`,
    `COPY (SELECT 1) TO ${file('acme', 'copy.csv')}`,
    `COPY (SELECT 1) TO ${file('globex', 'copy.csv')}`,
    `EXPORT DATABASE '${worker.folder}/export'`,
    `IMPORT DATABASE '${worker.folder}/export'`,
    'INSTALL httpfs',
    'LOAD httpfs',
  ];
  for (const sql of outside) await expect(worker.run(sql), sql).rejects.toThrow(/Permission Error/);
  const settings = [
    'SET enable_external_access = true',
    'RESET enable_external_access',
    'SET GLOBAL lock_configuration = false',
    'PRAGMA enable_external_access = true',
    `SET temp_directory = '${worker.folder}/globex'`,
    'SET allowed_directories = []',
    'SET threads = 8',
    "SET memory_limit = '64GB'",
    "SET GLOBAL log_query_path = 'log'",
  ];
  for (const sql of settings) await expect(worker.run(sql), sql).rejects.toThrow(/locked|disabled|Cannot|unrecognized/);
  expect((await readdir(worker.folder)).toSorted()).toEqual(['acme', 'globex']);
  expect(await worker.run("SELECT current_setting('enable_external_access'), current_setting('threads')")).toEqual([[false, '1']]);
});

test('a stream that fails half-way fails', async () => {
  await using worker = await tenancy();
  await worker.it.open('acme', 'sales');
  const sql = "SELECT CASE WHEN i = 90000 THEN error('boom') ELSE repeat('x', 200) END FROM range(100000) r(i)";
  await expect(worker.run(sql)).rejects.toThrow(/failed after \d+ rows/);
});

test('an interrupted stream fails, at whatever point it is interrupted', async () => {
  await using worker = await tenancy();
  await worker.it.open('acme', 'sales');
  for (const chunksRead of [0, 1, 40]) {
    const interruption = new Interruption();
    const reading = worker.it.database?.query({ sql: "SELECT repeat('x', 20) FROM range(10000000)" }, interruption, async (result) => {
      let chunks = 0;
      if (chunksRead === 0) interruption.interrupt('gone');
      for await (const _ of result.chunks()) if (++chunks === chunksRead) interruption.interrupt('gone');
    });
    await expect(reading).rejects.toEqual(new Interrupted('gone'));
  }
});

test('a statement is interrupted also in the moment in which it begins', async () => {
  await using worker = await tenancy();
  await worker.it.open('acme', 'sales');
  for (let turns = 0; turns < 6; turns++) {
    const interruption = new Interruption();
    const running = worker.run('SELECT count(*) FROM range(10000000000) a, range(1000) b', interruption);
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    interruption.interrupt('timeout');
    await expect(running).rejects.toEqual(new Interrupted('timeout'));
  }
});

test('closing interrupts what runs and what waits, and leaves no scratch files', async () => {
  await using worker = await tenancy({ runningMax: 1 });
  await worker.it.open('acme', 'sales');
  const scratch = worker.it.database?.file.temporaryFolder ?? '';
  const spilling = worker.run('SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS n, i FROM range(1000000000) r(i))');
  const waiting = worker.run('SELECT 1');
  const ended = Promise.all([
    expect(spilling).rejects.toEqual(new Interrupted('ended')),
    expect(waiting).rejects.toEqual(new Interrupted('ended')),
  ]);
  await expect.poll(() => existsSync(scratch), PATIENT).toBe(true);
  await worker.it.close();
  await ended;
  expect(existsSync(scratch)).toBe(false);
  expect(worker.it.database).toBeUndefined();
});

test('nothing of a session is left to the next statement', async () => {
  await using worker = await tenancy({ runningMax: 1 });
  await worker.it.open('acme', 'sales');
  await worker.run('CREATE TABLE t(i INTEGER)');
  await worker.run('BEGIN; INSERT INTO t VALUES (1)');
  expect(await worker.run('SELECT count(*) FROM t')).toEqual([['0']]);
  await worker.run('BEGIN; INSERT INTO t VALUES (1); COMMIT');
  expect(await worker.run('SELECT count(*) FROM t')).toEqual([['1']]);
  await worker.run('CREATE TEMP TABLE scratch(i INTEGER)');
  await expect(worker.run('SELECT * FROM scratch')).rejects.toThrow('does not exist');
  await worker.run('CREATE SCHEMA s; USE s; CREATE TABLE u(i INTEGER)');
  await expect(worker.run('SELECT * FROM u')).rejects.toThrow('does not exist');
  await worker.run('SET VARIABLE v = 1');
  expect(await worker.run("SELECT getvariable('v')")).toEqual([[null]]);
});

test('a statement that is kept follows the tables as they change', async () => {
  await using worker = await tenancy({ runningMax: 1 });
  await worker.it.open('acme', 'sales');
  await worker.run('CREATE TABLE t AS SELECT 1 AS i');
  expect(await worker.run('SELECT * FROM t')).toEqual([[1]]);
  await worker.run("CREATE OR REPLACE TABLE t AS SELECT 'a' AS s, 2 AS j");
  expect(await worker.run('SELECT * FROM t')).toEqual([['a', 2]]);
  await worker.run('DROP TABLE t');
  await expect(worker.run('SELECT * FROM t')).rejects.toThrow('does not exist');
  for (let i = 0; i < 100; i++) expect(await worker.run(`SELECT ${i}`)).toEqual([[i]]);
});

test('draining lets what runs finish, and interrupts it when the grace is over', async () => {
  await using worker = await tenancy({ runningMax: 1 });
  await worker.it.open('acme', 'sales');
  const { promise: isRead, resolve: read } = Promise.withResolvers<void>();
  const finishing = worker.it.database?.query({ sql: 'SELECT 7' }, new Interruption(), async (result) => {
    await isRead;
    return rowsOf(result);
  });
  const drained = worker.it.drain(60_000);
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  read();
  expect(await finishing).toEqual([[7]]);
  await drained;
  expect(worker.it.database).toBeUndefined();

  await worker.it.open('acme', 'sales');
  const endless = expect(worker.run('SELECT count(*) FROM range(10000000000) a, range(1000) b')).rejects.toEqual(
    new Interrupted('drained'),
  );
  await worker.it.drain(50);
  await endless;
});
