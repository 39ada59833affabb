// A cluster whose NATS speaks TLS alone, with an authority of its own, and takes nobody without a certificate: replicas, host
// agents, the workers that they start, clients and the muster command.
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually, tempDir } from '@muster/testkit';
import { expect, it } from 'vitest';
import { duckdbPool, SLOW, startCluster } from './support/cluster.ts';
import { query } from './support/queries.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

async function muster(words: string, env: Readonly<Record<string, string>>) {
  const options = { env: { PATH: process.env['PATH'], ...env }, cwd: env['TMPDIR'] ?? ROOT };
  try {
    const said = await promisify(execFile)(process.execPath, [join(ROOT, 'packages/cli/bin/muster.js'), ...words.split(' ')], options);
    return { code: 0, ...said };
  } catch (error) {
    return error as { readonly code: number; readonly stdout: string; readonly stderr: string };
  }
}

/** What a server answers to one that does not begin TLS. */
async function plainAnswer(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let heard = '';
  socket.on('data', (data) => (heard += String(data)));
  socket.write('CONNECT {"verbose":false}\r\nPING\r\n');
  await once(socket, 'close');
  return heard;
}

it('everything goes over TLS, with the files that the configuration names', async () => {
  await using folder = await tempDir();
  for (const name of ['ours', 'theirs']) {
    execFileSync(join(ROOT, 'deploy/nats/make-certificates'), [join(folder.path, name), '127.0.0.1'], { stdio: 'pipe' });
  }
  const file = (name: string): string => join(folder.path, 'ours', name);
  const block = { cert_file: file('server.pem'), key_file: file('server.key'), ca_file: file('ca.pem'), verify: true };
  await using cluster = await startCluster({
    replicas: 2,
    host: 'process',
    pools: { duckdb: duckdbPool({ floor: 1 }) },
    natsConfig: `tls: ${JSON.stringify(block)}`,
    tls: { caFile: file('ca.pem'), certFile: file('client.pem'), keyFile: file('client.key') },
  });
  await cluster.warm('duckdb', 1);
  await using client = await cluster.client();
  const reservation = await client.reserve('duckdb', { org: 'acme' });
  expect(await query(reservation, 'SELECT 42')).toEqual([[42]]);
  await reservation.release();

  const own = { MUSTER_NATS_CERT_FILE: file('client.pem'), MUSTER_NATS_KEY_FILE: file('client.key') };
  const reached = { TMPDIR: folder.path, MUSTER_NATS_URL: cluster.nats.url };
  await eventually(async () => {
    const known = await muster('status --json', { ...reached, ...own, MUSTER_NATS_CA_FILE: file('ca.pem') });
    expect(JSON.parse(known.stdout)).toMatchObject({ ok: true, replicas: [{ isAlive: true }, { isAlive: true }] });
  }, SLOW);
  const others = join(folder.path, 'theirs', 'ca.pem');
  const wrong = await muster('status', { ...reached, ...own, MUSTER_NATS_CA_FILE: others });
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining(`its certificate is not signed by that of ${others}`) });
  expect(wrong.stderr).toContain('MUSTER_NATS_CA_FILE');
  const answer = await plainAnswer(cluster.nats.port);
  expect(answer).toMatch(/^INFO .*"tls_required":true/);
  expect(answer).not.toContain('PONG');
});
