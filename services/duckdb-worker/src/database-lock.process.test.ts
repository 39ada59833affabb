import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { PATIENT, serving } from '../test/serving.ts';
import { DatabaseRefused } from './database-file.ts';

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

const HOLD = `
  const { DuckDBInstance } = require('@duckdb/node-api');
  DuckDBInstance.create(process.argv[1]).then(
    (instance) => { globalThis.held = instance; process.send('open'); },
    (error) => process.send(error.message),
  );
  setInterval(() => {}, 1000);
`;

/** Another process that opens the file and holds it; resolves with `open` or DuckDB's refusal. */
async function openElsewhere(path: string): Promise<{ readonly said: unknown; readonly child: ChildProcess }> {
  const child = spawn(process.execPath, ['-e', HOLD, path], { cwd: import.meta.dirname, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  children.add(child);
  const [said] = (await once(child, 'message')) as unknown[];
  return { said, child };
}

test('a database that another process has open is refused because of the request, by name', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const path = worker.tenancy.database?.file.path ?? '';
  await worker.tenancy.close();
  const { said, child } = await openElsewhere(path);
  expect(said).toBe('open');
  const refused = await worker.tenancy.open('acme', 'sales').catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(DatabaseRefused);
  expect((refused as Error).message).toBe(`database sales of org acme is locked by another process (${child.pid})`);
  expect(worker.tenancy.database).toBeUndefined();
  child.kill('SIGKILL');
  await once(child, 'exit');
  await worker.tenancy.open('acme', 'sales');
  expect((await worker.query('SELECT 1')).status).toBe(200);
});

test('a closed database is free for another process, whatever was running in it', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const path = worker.tenancy.database?.file.path ?? '';
  await worker.query('CREATE TABLE t AS SELECT 7 AS i');
  const half = await worker.fetchQuery({ sql: "SELECT repeat('x', 1000) FROM range(10000000)" });
  const failed = await worker.query("SELECT error('boom')");
  const running = worker.query('SELECT count(*) FROM range(10000000000) a, range(1000) b');
  await expect.poll(worker.health, PATIENT).toMatchObject({ running: 2 });
  await worker.tenancy.close();
  expect([(await running).status, failed.status]).toEqual([410, 400]);
  await expect(half.text()).rejects.toThrow();
  const { said, child } = await openElsewhere(path);
  expect(said).toBe('open');
  child.kill('SIGKILL');
  await once(child, 'exit');
});
