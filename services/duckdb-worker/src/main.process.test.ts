import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startNatsWorld } from '@muster/testkit';
import { expect, test } from 'vitest';
import { LARGE, LARGE_ROWS, ownerOf, SHARD, SLOT } from '../test/owner.ts';
import { makeFolder } from '../test/serving.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

test('a process that is started as the host agent does says hello, serves its reservation, and ends on SIGTERM', async () => {
  await using folder = await makeFolder();
  await using world = await startNatsWorld();
  const owner = await ownerOf((await world.connect('owner')).bus);
  await using started = startMain({
    MUSTER_NATS_URL: world.server.url,
    MUSTER_CLUSTER: 'demo',
    MUSTER_SLOT: SLOT,
    MUSTER_SHARD: SHARD,
    MUSTER_TOKEN: 'slot-token',
    MUSTER_DATA_DIR: folder.path,
  });
  expect(await owner.hello()).toMatchObject({ pid: started.child.pid, token: 'slot-token', epoch: 0, reservation: null, state: 'idle' });
  expect(await owner.activate(1, 'acme', { database: 'sales' })).toMatchObject({ ok: true });
  expect((await owner.query(1, 'CREATE TABLE t AS SELECT 7 AS i')).status).toBe(200);
  expect((await owner.query(1, 'SELECT * FROM t')).body.rows).toEqual([[7]]);

  // NATS goes, the tenant does not notice.
  await world.server.kill();
  expect((await owner.query(1, 'SELECT * FROM t')).body.rows).toEqual([[7]]);
  await world.server.start();

  const running = await owner.fetchQuery(1, LARGE);
  started.child.kill('SIGTERM');
  expect(await running.json()).toMatchObject({ rowCount: LARGE_ROWS });
  expect(await started.exit).toEqual([0, null]);
  expect(started.output()).not.toContain('token-1');
});

test('an environment that is not right ends it with one line that names the variable', async () => {
  await using started = startMain({ MUSTER_NATS_URL: 'nats://127.0.0.1:1' });
  expect(await started.exit).toEqual([1, null]);
  expect(started.output()).toMatch(/^MUSTER_CLUSTER is not set: [^\n]*\n$/);
});

function startMain(env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exit = once(child, 'close');
  return {
    child,
    exit,
    output: () => output,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exit;
    },
  };
}
