import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { MemoryLogger, SystemClock, SystemRandom } from '@muster/ports';
import { encode } from '@muster/protocol';
import { appendValue, eventually, natsServerBinaries, startNatsCluster, startNatsWorld } from '@muster/testkit';
import { connect } from '@nats-io/transport-node';
import { describe, expect, test } from 'vitest';
import { connectNats } from './connect-nats.ts';
import { isAtLeast } from './server-version.ts';

/** Those whose clusters can fence, and those whose cannot. */
const fit = natsServerBinaries().filter(({ version }) => isAtLeast(version, '2.11.0'));
const unfit = natsServerBinaries().filter(({ version }) => !isAtLeast(version, '2.11.0'));
/** Of requests of the test's own: the client's limit is a second. */
const ASKED = { timeout: 20_000 };

describe.each(natsServerBinaries())('the start-up gate on nats-server $version', ({ path, version }) => {
  test('several processes open one store at once, and again, and it keeps what is in it', async () => {
    await using world = await startNatsWorld({ binary: path });
    const open = async (name: string) => (await world.connect(name)).openClusterStore({ cluster: 'demo' });
    const [one, other] = await Promise.all([open('one'), open('other'), open('third')]);
    const seq = await appendValue(one.journal, 'a', 1, 0);
    expect((await other.journal.last('a'))?.seq).toBe(seq);
    const again = await open('again');
    expect((await again.journal.last('a'))?.seq).toBe(seq);
    expect(again.server).toEqual({ version, apiLevel: isAtLeast(version, '2.11.0') ? expect.any(Number) : 0 });
    // The race left nothing behind.
    expect(await again.journal.listParts('probe')).toEqual([]);
  });

  test('a stream with another setting is refused by the name of that setting', async () => {
    await using world = await startNatsWorld({ binary: path });
    const nats = await world.connect('one');
    await nats.openClusterStore({ cluster: 'demo' });
    const operator = await connect({ servers: world.server.url });
    const { config } = (await operator.request('$JS.API.STREAM.INFO.MUSTER_demo', undefined, ASKED)).json<{ config: object }>();
    const updated = await operator.request('$JS.API.STREAM.UPDATE.MUSTER_demo', encode({ ...config, max_age: 3_600_000_000_000 }), ASKED);
    expect(updated.json()).not.toHaveProperty('error');
    await operator.close();
    await expect(nats.openClusterStore({ cluster: 'demo' })).rejects.toMatchObject({
      code: 'unsafe-server',
      field: 'max_age',
      message: expect.stringContaining('max_age 3600000000000'),
    });
  });

  test('a server that takes its place and would be refused at a start is said to be unsafe', async () => {
    await using world = await startNatsWorld({ binary: path });
    const nats = await world.connect('one');
    const { bus } = nats;
    const store = await nats.openClusterStore({ cluster: 'demo' });
    const said = () => world.logger.lines.filter(({ level, message }) => level === 'error' && message.includes('start-up gate'));
    await world.server.stop();
    await eventually(() => !bus.isConnected, { timeoutMs: 60_000 });
    await world.server.start();
    await eventually(() => bus.isConnected, { timeoutMs: 60_000 });
    expect(said()).toEqual([]);
    await world.server.stop();
    await using _old = await pretendServer(world.server.port, '2.8.4');
    await eventually(() => expect(said()).toMatchObject([{ fields: { version: '2.8.4' } }]), { timeoutMs: 60_000 });
    store.close();
  });

  test('a second cluster in the account is refused', async () => {
    await using world = await startNatsWorld({ binary: path });
    const nats = await world.connect('one');
    await nats.openClusterStore({ cluster: 'demo' });
    const refused = { code: 'unsafe-server', message: expect.stringContaining('cluster demo') };
    await expect(nats.openClusterStore({ cluster: 'other' })).rejects.toMatchObject(refused);
    await expect(nats.openClusterStore({ cluster: 'demo' })).resolves.toBeDefined();
  });

  test('several copies are refused where the server cannot keep them safely, or at all', async () => {
    await using world = await startNatsWorld({ binary: path });
    const nats = await world.connect('one');
    const why = isAtLeast(version, '2.11.0') ? 'JetStream refuses' : '2.11.0 is the least';
    await expect(nats.openClusterStore({ cluster: 'demo', replicas: 3 })).rejects.toMatchObject({
      code: 'unsafe-server',
      message: expect.stringContaining(why),
    });
  });

  test('an account without JetStream is given up on, with a hint', async () => {
    const config = 'accounts { plain { users [ { user: u, password: p } ] } }\nno_auth_user: u';
    await using world = await startNatsWorld({ binary: path, config });
    const nats = await world.connect('one');
    await expect(nats.openClusterStore({ cluster: 'demo', patienceMs: 300 })).rejects.toThrow(/JetStream/);
  });

  test('credentials are taken from the options or the address; without them the server is not entered', async () => {
    await using world = await startNatsWorld({ binary: path, config: 'authorization { user: "muster", password: "s3 cret" }' });
    const address = `nats://muster:s3%20cret@127.0.0.1:${world.server.port}`;
    expect((await world.connect('by address', { servers: [address] })).bus.isConnected).toBe(true);
    const credentials = { kind: 'user', user: 'muster', password: 's3 cret' } as const;
    expect((await world.connect('by options', { credentials })).bus.isConnected).toBe(true);
    await expect(world.connect('nobody')).rejects.toMatchObject({ code: 'unauthorized' });
  });

  test('a server that has given up waiting for credentials has not refused them', async () => {
    let [dials, late, port] = [0, 1, 0];
    await using front = createServer((socket) => {
      dials += 1;
      socket.on('error', () => undefined);
      if (dials <= late)
        return void socket.end(`INFO {"version":"2.15.1","max_payload":1048576}\r\n-ERR 'Authentication Timeout'\r\n`).resume();
      const through = createConnection(port, '127.0.0.1').on('error', () => socket.destroy());
      socket.pipe(through).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(front, 'listening');
    await using world = await startNatsWorld({ binary: path, config: 'authorization { user: "muster", password: "secret" }' });
    ({ port } = world.server);
    const servers = [`nats://muster:secret@127.0.0.1:${(front.address() as AddressInfo).port}`];
    expect((await world.connect('late', { servers })).bus.isConnected).toBe(true);
    expect(dials).toBe(2);
    late = Number.POSITIVE_INFINITY;
    await expect(world.connect('always late', { servers })).rejects.toMatchObject({ code: 'disconnected' });
    expect(dials).toBe(2 + 3);
  });

  test('where no server answers it fails, or waits for one when told to', async () => {
    await using world = await startNatsWorld({ binary: path });
    await world.server.stop();
    await expect(world.connect('hasty')).rejects.toMatchObject({ code: 'disconnected' });
    const patient = world.connect('patient', { waitOnFirstConnect: true });
    await world.server.start();
    expect((await patient).bus.isConnected).toBe(true);
    await expect(world.connect('lost', { servers: ['not an address'] })).rejects.toMatchObject({
      code: 'bad-request',
      field: 'nats.servers',
    });
  });
});

describe.each(fit)('the start-up gate on a cluster of nats-server $version', ({ path }) => {
  test('in a cluster the journals outlive the loss of any server, and one copy is warned of', async () => {
    await using servers = await startNatsCluster({ binary: path, size: 3 });
    const logger = new MemoryLogger();
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger };
    const nats = await connectNats({ servers: servers.url.split(','), name: 'one', ...tools });
    // Fewer servers than copies is a matter of waiting for the rest, which here never comes.
    // What it waited for last is what it says: that is another thing while the servers have chosen no leader.
    await eventually(() =>
      expect(nats.openClusterStore({ cluster: 'demo', replicas: 5, patienceMs: 3_000 })).rejects.toMatchObject({
        code: 'journal-unavailable',
        message: expect.stringContaining('10005'),
      }),
    );
    const { journal } = await nats.openClusterStore({ cluster: 'demo', replicas: 3 });
    const seq = await appendValue(journal, 'a', 1, 0);
    await expect(nats.openClusterStore({ cluster: 'demo' })).rejects.toMatchObject({
      code: 'unsafe-server',
      message: 'stream MUSTER_demo has num_replicas 3, wanted is 1: nats.replicas says how many copies there are',
    });

    const operator = await connect({ servers: servers.url.split(',') });
    const leader = await eventually(async () => {
      const info = await operator.request('$JS.API.STREAM.INFO.MUSTER_demo', undefined, { timeout: 2_000 });
      return info.json<{ cluster?: { leader?: string } }>().cluster?.leader ?? (false as const);
    });
    await servers.server(leader).kill();
    await eventually(async () => expect((await journal.last('a'))?.seq).toBe(seq), { timeoutMs: 60_000 });
    await eventually(async () => expect(await appendValue(journal, 'a', 2, seq)).toBe(seq + 1), { timeoutMs: 60_000 });
    // The one that was killed may have led the whole cluster too: until there is another leader nobody answers.
    await eventually(
      async () => {
        const answer = await operator.request('$JS.API.STREAM.DELETE.MUSTER_demo', undefined, { timeout: 2_000 });
        const { success, error } = answer.json<{ success?: boolean; error?: { code: number } }>();
        return success === true || error?.code === 404;
      },
      { timeoutMs: 60_000 },
    );
    await operator.close();

    const isWarned = () => logger.lines.some(({ message }) => message.includes('nats.replicas'));
    expect(isWarned()).toBe(false);
    const single = await nats.openClusterStore({ cluster: 'demo' });
    single.close();
    expect(isWarned()).toBe(true);
    await nats.close();
  });
});

describe.each(unfit)('the start-up gate on a cluster of nats-server $version', ({ path, version }) => {
  test('a cluster is refused, whatever the copies', async () => {
    await using servers = await startNatsCluster({ binary: path });
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: new MemoryLogger() };
    const nats = await connectNats({ servers: servers.url.split(','), name: 'one', ...tools });
    for (const replicas of [1, 3]) {
      await expect(nats.openClusterStore({ cluster: 'demo', replicas })).rejects.toMatchObject({
        code: 'unsafe-server',
        message: `nats-server ${version} is part of a cluster (test), and lets more than one conditional write win on a stream of several copies: 2.11.0 is the least for a cluster, or one server of 2.9.10 that is alone`,
      });
    }
    await nats.close();
  });
});

/** Says that it is a nats-server of that version, and nothing more. */
async function pretendServer(port: number, version: string): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const info = { server_id: 'OLD', server_name: 'old', version, proto: 1, headers: true, max_payload: 1_048_576, host: '127.0.0.1', port };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on('data', (data) => {
      for (const _ping of data.toString().matchAll(/PING\r\n/g)) socket.write('PONG\r\n');
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
