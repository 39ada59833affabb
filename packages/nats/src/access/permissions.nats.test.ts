// Every role on a real server, with every way to prove who one is: what it may do it can do, and each forbidden thing is
// tried and seen refused.
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { decode, encode, isMusterError, subjects } from '@muster/protocol';
import { eventually, natsServerBinaries, startNatsServer, type TestNatsServer } from '@muster/testkit';
import { connect, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats, type NatsConnected } from '../connect-nats.ts';
import { isAtLeast } from '../server-version.ts';
import { ACCESS_KINDS, newAccessBook, type UserWanted } from './access-book.ts';
import { makeAccessFiles } from './access-files.ts';
import { parseCredentials } from './credentials-file.ts';
import { openWorkerCredentials } from './worker-credentials.ts';

const CLUSTER = 'demo';
const STREAM = 'MUSTER_demo';
const BUCKET = 'KV_muster_demo_slots';
const USERS: readonly UserWanted[] = [
  ...(['setup', 'replica', 'host', 'worker', 'client', 'observer', 'admin'] as const).map((role) => ({ role })),
  { role: 'client', name: 'shop' },
  { role: 'host', name: 'h1' },
];
const matrix = natsServerBinaries().flatMap(({ path, version }) => ACCESS_KINDS.map((kind) => ({ path, version, kind })));

/** One user's connection, which notices what the server refuses. */
class User implements AsyncDisposable {
  readonly connection: NatsConnection;
  readonly #refused = new Set<string>();

  constructor(connection: NatsConnection) {
    this.connection = connection;
    void (async () => {
      for await (const status of connection.status()) {
        if (status.type === 'error' && status.error instanceof PermissionViolationError) {
          this.#refused.add(`${status.error.operation} ${status.error.subject}`);
        }
      }
    })();
  }

  async mayPublish(subject: string): Promise<boolean> {
    this.connection.publish(subject, '{}');
    return this.#isTaken(`publish ${subject}`);
  }

  async maySubscribe(subject: string): Promise<boolean> {
    const subscription = this.connection.subscribe(subject, { callback: () => undefined });
    const isTaken = await this.#isTaken(`subscription ${subject}`);
    subscription.unsubscribe();
    return isTaken;
  }

  /** The server's refusal comes before its answer to the flush. */
  async #isTaken(what: string): Promise<boolean> {
    await this.connection.flush();
    await new Promise((resolve) => void setImmediate(resolve));
    return !this.#refused.has(what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }
}

describe.each(matrix)('$kind on nats-server $version', ({ path, version, kind }) => {
  let server: TestNatsServer;
  let credentials: ReadonlyMap<string, string>;
  /** What the worker of a slot connects with. */
  let workerText: (slot: string) => Promise<string>;
  const resources: AsyncDisposable[] = [];

  beforeAll(async () => {
    const files = await makeAccessFiles(newAccessBook(CLUSTER, kind, USERS));
    ({ credentials } = files);
    server = await startNatsServer({ binary: path, config: files.server });
    resources.push(server);
    workerText = openWorkerCredentials(textOf('worker'));
    const setup = await join('setup');
    const store = await setup.openClusterStore({ cluster: CLUSTER });
    store.close();
  });
  afterAll(async () => {
    for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]();
  });

  const textOf = (user: string): string => {
    const text = credentials.get(user);
    if (text === undefined) throw new Error(`no credentials of ${user}`);
    return text;
  };
  /** As Muster's programs connect. */
  const join = async (user: string, text = textOf(user), url = server.url): Promise<NatsConnected> => {
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
    const nats = await connectNats({ servers: [url], name: user, credentials: { kind: 'creds', contents: text }, ...tools });
    resources.push({ [Symbol.asyncDispose]: () => nats.close() });
    return nats;
  };
  /** As any program connects that has the file. */
  const enter = async (user: string, text = textOf(user)): Promise<User> => {
    const { authenticator, inboxPrefix = '' } = parseCredentials(text);
    const one = new User(await connect({ servers: server.url, authenticator, inboxPrefix }));
    resources.push(one);
    return one;
  };

  it('lets nobody in without credentials, or with those of another cluster', async () => {
    await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authorization/i);
    const other = await makeAccessFiles(newAccessBook(CLUSTER, kind, USERS));
    await expect(join('replica', other.credentials.get('replica'))).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('lets a replica do all that it does, on what the set-up user made', async () => {
    const replica = await join('replica');
    const { bus } = replica;
    const store = await replica.openClusterStore({ cluster: CLUSTER });
    const { journal, latestValues } = store;
    const seen: string[] = [];
    const following = await journal.follow({
      message: ({ shard }) => void seen.push(shard),
      caughtUp: () => undefined,
      reset: () => undefined,
    });
    const stored = await journal.append('pool', encode({ v: 1 }), { expectedSeq: 0, timeoutMs: 20_000 });
    expect(stored).toMatchObject({ kind: 'stored' });
    await eventually(() => expect(seen).toContain('pool'));
    expect(await journal.last('pool')).toMatchObject({ shard: 'pool' });
    await journal.putPart('pool', 'p1', encode({}));
    expect(await journal.listParts('pool')).toEqual(['p1']);
    await journal.deletePart('pool', 'p1');
    await latestValues.put('slot.pool-a', encode({}));
    await latestValues.delete('slot.pool-a');
    following.unsubscribe();
    store.close();
    const heard: string[] = [];
    const publicSubjects = [
      subjects.reserveAny(),
      subjects.renew(),
      subjects.release(),
      subjects.cancel(),
      subjects.pools(),
      subjects.admin(),
    ];
    const between = [subjects.shardCommand('pool'), subjects.replicaBeats(), subjects.misses(), subjects.hostsForgotten()];
    for (const subject of [...publicSubjects, ...between]) bus.subscribe(subject, ({ subject: at }) => void heard.push(at));
    await bus.flush();
    const told = [subjects.shardCommand('pool'), subjects.replicaBeat('r1'), subjects.miss('pool'), subjects.hostForgotten('h1')];
    for (const subject of told) bus.publish(subject, encode({}));
    await eventually(() => expect(heard.toSorted()).toEqual(told.toSorted()));
  });

  it('lets a replica neither make nor remove streams, nor read those of others', async () => {
    const replica = await enter('replica');
    for (const verb of ['CREATE', 'UPDATE', 'DELETE']) {
      expect(await replica.mayPublish(`$JS.API.STREAM.${verb}.${STREAM}`), verb).toBe(false);
    }
    expect(await replica.mayPublish('$JS.API.STREAM.INFO.OTHER')).toBe(false);
    expect(await replica.mayPublish('orders.new')).toBe(false);
    expect(await replica.maySubscribe('>')).toBe(false);
    expect(await replica.maySubscribe('_INBOX_muster.client.>')).toBe(false);
  });

  it('tells a replica without its streams what to do', async () => {
    const files = await makeAccessFiles(newAccessBook(CLUSTER, kind, USERS));
    await using empty = await startNatsServer({ binary: path, config: files.server });
    const replica = await join('replica', files.credentials.get('replica'), empty.url);
    const refused = await replica.openClusterStore({ cluster: CLUSTER }).catch((error: unknown) => error);
    expect(isMusterError(refused, 'unauthorized')).toBe(true);
    expect(String(refused)).toContain('nats-setup');
  });

  it('lets the set-up user prepare, and no more', async () => {
    const setup = await enter('setup');
    for (const subject of [
      subjects.journal(CLUSTER, 'pool'),
      subjects.admin(),
      subjects.shardCommand('pool'),
      `$JS.API.STREAM.DELETE.${STREAM}`,
    ]) {
      expect(await setup.mayPublish(subject), subject).toBe(false);
    }
    for (const subject of [subjects.journals(CLUSTER), 'muster.v1.>']) expect(await setup.maySubscribe(subject), subject).toBe(false);
  });

  it('lets a client reserve, renew, release, cancel, ask for pools and hear of its reservations', async () => {
    const replica = await join('replica');
    const asked: string[] = [];
    for (const subject of [
      subjects.pools(),
      subjects.reserveAny(),
      subjects.renew(),
      subjects.release(),
      subjects.cancel(),
      subjects.shardRequest('pool'),
    ]) {
      replica.bus.subscribe(subject, (message) => {
        asked.push(message.subject);
        message.respond(encode({ to: message.subject }));
      });
    }
    await replica.bus.flush();
    for (const user of ['client', 'client-shop', 'admin']) {
      const { bus } = await join(user);
      const news: unknown[] = [];
      bus.subscribe(subjects.reservationLost('pool-a_1'), ({ data }) => void news.push(decode(data)));
      await bus.flush();
      replica.bus.publish(subjects.reservationLost('pool-a_1'), encode({ type: 'lost' }));
      await eventually(() => expect(news).toEqual([{ type: 'lost' }]));
      for (const subject of [
        subjects.pools(),
        subjects.reserve('pool'),
        subjects.renew(),
        subjects.release(),
        subjects.cancel(),
        subjects.shardRequest('pool'),
      ]) {
        expect(decode((await bus.request(subject, encode({}), { timeoutMs: 20_000 })).data)).toEqual({ to: subject });
      }
    }
    expect(asked).toHaveLength(18);
  });

  it('lets a client neither read journals, nor steer, nor speak as a worker, a host or a replica', async () => {
    const client = await enter('client');
    const forbidden = [
      subjects.journal(CLUSTER, 'pool'),
      subjects.part(CLUSTER, 'pool', 'p1'),
      '$KV.muster_demo_slots.slot.pool-a',
      `$JS.API.STREAM.INFO.${STREAM}`,
      `$JS.API.STREAM.MSG.GET.${STREAM}`,
      `$JS.API.DIRECT.GET.${STREAM}`,
      `$JS.API.DIRECT.GET.${STREAM}.${subjects.journal(CLUSTER, 'pool')}`,
      `$JS.API.CONSUMER.CREATE.${STREAM}.c.${subjects.journal(CLUSTER, 'pool')}`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${STREAM}.c`,
      `$JS.API.STREAM.PURGE.${STREAM}`,
      `$JS.API.STREAM.DELETE.${STREAM}`,
      `$JS.API.STREAM.MSG.GET.${BUCKET}`,
      subjects.admin(),
      subjects.shardCommand('pool'),
      subjects.shardCommand('janitor'),
      subjects.replicaBeat('r1'),
      subjects.miss('pool'),
      subjects.reservationLost('pool-a_1'),
      subjects.workerHello('pool', 'pool-a'),
      subjects.workerBeat('pool', 'pool-a'),
      subjects.workerCommand('pool', 'pool-a', 'i1'),
      subjects.hostDriver('h1'),
      subjects.hostBeat('h1'),
      subjects.hostWorker('h1'),
      subjects.hostForgotten('h1'),
      subjects.event('slot', 'pool-a', 'warm'),
      '_INBOX_muster.replica.x',
      '_INBOX_muster.client-shop.x',
      '_INBOX.x',
    ];
    for (const subject of forbidden) expect(await client.mayPublish(subject), subject).toBe(false);
    for (const subject of [
      '>',
      'muster.>',
      'muster.v1.>',
      subjects.journals(CLUSTER),
      subjects.reserve('pool'),
      subjects.shardRequest('pool'),
      subjects.shardCommand('pool'),
      subjects.workerHellos('pool'),
      subjects.workerCommand('pool', '*', '*'),
      subjects.hostDriver('h1'),
      'muster.v1.events.>',
      '_INBOX.>',
      '_INBOX_muster.>',
      '_INBOX_muster.replica.>',
      '_INBOX_muster.client-shop.>',
      '_INBOX_muster.worker.>',
    ]) {
      expect(await client.maySubscribe(subject), subject).toBe(false);
    }
    expect(await client.maySubscribe('_INBOX_muster.client.>')).toBe(true);
  });

  it('lets a worker say hello, beat, be commanded and answer, each command once', async () => {
    const replica = await join('replica');
    replica.bus.subscribe(subjects.workerHellos('pool'), (message) => message.respond(encode({ type: 'welcome', beatMs: 1_000 })));
    await replica.bus.flush();
    const { bus } = await join('worker', await workerText('pool-a'));
    expect(decode((await bus.request(subjects.workerHello('pool', 'pool-a'), encode({}), { timeoutMs: 20_000 })).data)).toMatchObject({
      type: 'welcome',
    });
    bus.subscribe(subjects.workerCommand('pool', 'pool-a', 'i1'), (message) => message.respond(encode({ ok: true })));
    await bus.flush();
    for (let time = 1; time <= 3; time++) {
      const answer = await replica.bus.request(subjects.workerCommand('pool', 'pool-a', 'i1'), encode({ time }), { timeoutMs: 20_000 });
      expect(decode(answer.data)).toEqual({ ok: true });
    }
  });

  it('lets a worker neither reserve, nor steer, nor read journals, nor speak as a host or a replica', async () => {
    const worker = await enter('worker', await workerText('pool-a'));
    for (const subject of [
      subjects.reserve('pool'),
      subjects.shardRequest('pool'),
      subjects.shardCommand('pool'),
      subjects.admin(),
      subjects.pools(),
      subjects.journal(CLUSTER, 'pool'),
      `$JS.API.STREAM.INFO.${STREAM}`,
      `$JS.API.CONSUMER.CREATE.${STREAM}.c.${subjects.journal(CLUSTER, 'pool')}`,
      subjects.workerCommand('pool', 'pool-a', 'i1'),
      subjects.hostBeat('h1'),
      subjects.reservationLost('pool-a_1'),
      '_INBOX_muster.replica.x',
    ]) {
      expect(await worker.mayPublish(subject), subject).toBe(false);
    }
    for (const subject of [
      '>',
      'muster.v1.>',
      subjects.workerHellos('pool'),
      subjects.journals(CLUSTER),
      'muster.v1.events.>',
      '_INBOX.>',
    ]) {
      expect(await worker.maySubscribe(subject), subject).toBe(false);
    }
  });

  it('lets a worker answer nothing that it was not asked: not for another, and not a second time', async () => {
    const replica = await join('replica');
    const asked: string[] = [];
    const worker = await enter('worker', await workerText('pool-a'));
    worker.connection.subscribe(subjects.workerCommand('pool', 'pool-a', 'i1'), {
      callback: (_error, message) => void asked.push(message.reply ?? ''),
    });
    await worker.connection.flush();
    void replica.bus.request(subjects.workerCommand('pool', 'pool-a', 'i1'), encode({}), { timeoutMs: 20_000 }).catch(() => undefined);
    const [reply = ''] = await eventually(() => asked.length > 0 && asked);
    expect(await worker.mayPublish(`${reply.slice(0, reply.lastIndexOf('.'))}.zz`), 'the answer of somebody else').toBe(false);
    expect(await worker.mayPublish(reply), 'its own').toBe(true);
    expect(await worker.mayPublish(reply), 'its own again').toBe(false);
  });

  it('lets a host with a name of its own act for itself alone', async () => {
    const own = await enter('host-h1');
    expect(await own.mayPublish(subjects.hostBeat('h1'))).toBe(true);
    expect(await own.mayPublish(subjects.hostWorker('h1'))).toBe(true);
    expect(await own.maySubscribe(subjects.hostDriver('h1'))).toBe(true);
    expect(await own.mayPublish(subjects.hostBeat('h2'))).toBe(false);
    expect(await own.maySubscribe(subjects.hostDriver('h2'))).toBe(false);
    expect(await own.maySubscribe(subjects.hostDriver('*'))).toBe(false);
    const any = await enter('host');
    expect(await any.mayPublish(subjects.hostBeat('h2'))).toBe(true);
    for (const subject of [
      subjects.hostDriver('h2'),
      subjects.hostForgotten('h1'),
      subjects.workerHello('pool', 'pool-a'),
      subjects.reserve('pool'),
    ]) {
      expect(await any.mayPublish(subject), subject).toBe(false);
    }
    for (const subject of ['muster.v1.>', subjects.workerCommand('*', '*', '*'), subjects.journals(CLUSTER)]) {
      expect(await any.maySubscribe(subject), subject).toBe(false);
    }
  });

  it('lets an observer look on, and change nothing', async () => {
    const observer = await enter('observer');
    expect(await observer.maySubscribe('muster.v1.events.>')).toBe(true);
    expect(await observer.mayPublish('$SRV.STATS.muster')).toBe(true);
    for (const subject of [
      subjects.reserve('pool'),
      subjects.admin(),
      '$KV.muster_demo_slots.x',
      `$JS.API.STREAM.PURGE.${BUCKET}`,
      `$JS.API.STREAM.MSG.GET.${STREAM}`,
    ]) {
      expect(await observer.mayPublish(subject), subject).toBe(false);
    }
    expect(await observer.maySubscribe(subjects.journals(CLUSTER))).toBe(false);
    const admin = await enter('admin');
    expect(await admin.mayPublish(subjects.admin())).toBe(true);
    for (const subject of [
      subjects.journal(CLUSTER, 'pool'),
      `$JS.API.STREAM.MSG.GET.${STREAM}`,
      subjects.shardCommand('pool'),
      subjects.hostDriver('h1'),
    ]) {
      expect(await admin.mayPublish(subject), subject).toBe(false);
    }
  });

  it('says at once, not after a time-out, that something is not allowed', async () => {
    const { bus } = await join('client');
    const refused = await bus.request(subjects.admin(), encode({ type: 'status' }), { timeoutMs: 60_000 }).catch((error: unknown) => error);
    expect(isMusterError(refused, 'unauthorized')).toBe(true);
    expect(String(refused)).toContain(subjects.admin());
  });

  // A worker's own credentials need the templates of JWTs; with the others all workers are one user (docs/guide/security.md).
  describe.runIf(kind === 'jwt')('with credentials for each slot', () => {
    it('lets one worker neither read what another is told, nor speak for it', async () => {
      const worker = await enter('worker', await workerText('pool-a'));
      for (const subject of [
        subjects.workerHello('pool', 'pool-b'),
        subjects.workerBeat('pool', 'pool-b'),
        subjects.workerBeat('other', 'pool-b'),
      ]) {
        expect(await worker.mayPublish(subject), subject).toBe(false);
      }
      for (const subject of [
        subjects.workerCommand('pool', 'pool-b', '*'),
        subjects.workerCommand('pool', '*', '*'),
        'muster.v1.worker.>',
        '_INBOX_muster.worker.pool-b.>',
        '_INBOX_muster.worker.>',
      ]) {
        expect(await worker.maySubscribe(subject), subject).toBe(false);
      }
      expect(await worker.mayPublish(subjects.workerBeat('pool', 'pool-a'))).toBe(true);
      expect(await worker.maySubscribe(subjects.workerCommand('pool', 'pool-a', 'i1'))).toBe(true);
    });

    it('lets a worker come back without any replica, also after the server was started again', async () => {
      const { bus } = await join('worker', await workerText('pool-c'));
      await server.restart();
      await eventually(() => bus.isConnected, { timeoutMs: 60_000 });
      await bus.flush();
    });
  });

  // Before 2.11 a server with JWTs takes nobody in without one.
  describe.runIf(kind !== 'jwt' || isAtLeast(version, '2.11.0'))('with an anonymous user', () => {
    it('lets whoever comes reserve and look on, and no more', async () => {
      const { server: config } = await makeAccessFiles(newAccessBook(CLUSTER, kind, [...USERS, { role: 'anonymous' }]));
      await using open = await startNatsServer({ binary: path, config });
      await using anybody = new User(await connect({ servers: open.url }));
      for (const subject of [subjects.reserve('pool'), subjects.release(), '$SRV.INFO'])
        expect(await anybody.mayPublish(subject), subject).toBe(true);
      for (const subject of ['_INBOX.x.*', 'muster.v1.events.>', 'muster.v1.reservation.*.lost']) {
        expect(await anybody.maySubscribe(subject), subject).toBe(true);
      }
      for (const subject of [
        subjects.admin(),
        subjects.journal(CLUSTER, 'pool'),
        subjects.shardCommand('pool'),
        `$JS.API.STREAM.MSG.GET.${STREAM}`,
      ]) {
        expect(await anybody.mayPublish(subject), subject).toBe(false);
      }
      for (const subject of ['>', subjects.journals(CLUSTER), '_INBOX_muster.>'])
        expect(await anybody.maySubscribe(subject), subject).toBe(false);
    });
  });
});
