// Compose over TLS, and every secret of it rotated while tenants are at it.
import { once } from 'node:events';
import { connect } from 'node:net';
import { connectNats } from '@muster/nats';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { eventually } from '@muster/testkit';
import { describe, expect, inject, test } from 'vitest';
import { History } from '../integration/support/history.ts';
import { Load } from '../integration/support/load.ts';
import { composeProject, type ComposeProject } from './support/compose-project.ts';
import { SLOW } from './support/door.ts';

const why = inject('whyNoEngine');
const worker = { command: ['node', 'services/duckdb-worker/src/main.ts'], memory: '256MiB', env: { LOG_LEVEL: 'warn' } };
const config = { cluster: { name: 'sealed' }, pools: { duckdb: { driver: 'process', floor: 2, recycle: 'shared', worker } } };
/** The tenants here come as the administrator. */
const ROTATED = ['replica', 'host', 'client'];

/** The first line of a server to whoever connects. */
async function greeting(address: string): Promise<string> {
  const { hostname, port } = new URL(`nats://${address}`);
  const socket = connect(Number(port), hostname);
  const [data] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return String(data);
}

async function enter(options: Awaited<ReturnType<ComposeProject['natsAs']>>): Promise<void> {
  const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
  const nats = await connectNats({ ...options, name: 'test', ...tools });
  await nats.close();
}

describe.skipIf(why !== undefined)(`docker compose over TLS${why === undefined ? '' : `: ${why}`}`, () => {
  test('nothing is said in the clear; credentials and certificates are rotated while tenants are at it', async ({ annotate }) => {
    await using project = await composeProject({ config, isTls: true });
    // One that has run in the clear until now.
    await project.do('--file', 'docker-compose.yml', 'up', '--detach', '--wait', 'nats');
    expect(await greeting(await project.published('nats', 4222))).not.toContain('"tls_required":true');
    await project.do('up', '--detach', '--wait', '--scale', 'control-plane=2');
    expect(await greeting(await project.published('nats', 4222))).toContain('"tls_required":true');
    const before = { replica: await project.natsAs('control-plane', 'replica'), client: await project.natsAs('muster', 'client') };
    const { tls: _, ...withoutAuthority } = before.client;
    await eventually(() => expect(enter(withoutAuthority)).rejects.toMatchObject({ field: 'nats.tls.ca' }), SLOW);
    expect(await project.do('run', '--rm', '-T', 'muster', 'reserve', 'duckdb', '--org', 'acme', '--sql', 'select 6 * 7')).toContain('42');

    const history = new History();
    const load = new Load({ cluster: project, history, pool: 'duckdb', plain: 1, clients: 2 });
    await load.rounds(2);
    const reload = () => project.do('kill', '--signal', 'HUP', 'nats');
    await project.do('run', '--rm', '-T', '--no-deps', 'certificates', 'renew');
    await project.do('run', '--rm', '-T', '--no-deps', 'set-up', 'access', ...ROTATED.flatMap((user) => ['--rotate', user]));
    await reload();
    const after = await project.natsAs('muster', 'client');
    expect(after.credentials).not.toEqual(before.client.credentials);
    // Both are good, so that nothing has to happen at once.
    await eventually(() => enter(after), SLOW);
    await eventually(() => enter(before.client), SLOW);
    await load.rounds(3);

    await project.do('run', '--rm', '-T', '--no-deps', 'set-up', 'access', '--retire');
    await reload();
    for (const old of Object.values(before)) {
      await eventually(() => expect(enter(old)).rejects.toMatchObject({ code: 'unauthorized' }), SLOW);
    }
    await eventually(() => enter(after), SLOW);
    // Replicas and hosts were put out with the old ones, and have come back with the new.
    await load.rounds(5);
    await load.stop();
    expect(load.failures).toEqual([]);
    await annotate(`the slowest grant took ${Math.round(load.slowestMs)} ms`);
  });
});
