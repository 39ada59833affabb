import { ManualClock, MemoryLogger, SeededRandom } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { type Msg, headers as makeHeaders } from '@nats-io/transport-node';
import { beforeEach, expect, test } from 'vitest';
import { type FeedLink, JournalFeed } from './journal-feed.ts';
import type { LinkStatus } from './nats-link.ts';

const RETRY_MS = 600;
const TICK_MS = 2000;
const SECOND = '2026-01-02T00:00:00Z';

/** A server with one stream, as a feed sees it; each consumer is driven by the test. */
class FakeServer {
  readonly clock = new ManualClock();
  readonly logger = new MemoryLogger();
  created = '2026-01-01T00:00:00Z';
  lastSeq = 0;
  /** Where the last message is no record. */
  lastRecordSeq: number | undefined;
  isAnswering = true;
  /** Where each consumer so far began. */
  readonly starts: number[] = [];
  readonly published: string[] = [];
  #handler: ((message: Msg) => void) | undefined;
  #listener: (status: LinkStatus) => void = () => undefined;
  #isConnected = true;

  readonly link: FeedLink;

  constructor() {
    const isConnected = (): boolean => this.#isConnected;
    this.link = {
      clock: this.clock,
      random: new SeededRandom(1),
      logger: this.logger,
      get isConnected() {
        return isConnected();
      },
      makeInbox: () => '_INBOX.test',
      publish: (subject) => void this.published.push(subject),
      subscribe: (_, handler) => {
        this.#handler = handler;
        return { unsubscribe: () => undefined, drain: async () => undefined };
      },
      onStatus: (listener) => {
        this.#listener = listener;
        return { unsubscribe: () => undefined };
      },
      exchange: async (subject, data) => {
        if (!this.isAnswering) return { kind: 'timeout' };
        if (subject.startsWith('$JS.API.STREAM.INFO')) return answer({ created: this.created, state: { last_seq: this.lastSeq } });
        if (subject.startsWith('$JS.API.STREAM.MSG.GET')) {
          const seq = this.lastRecordSeq ?? this.lastSeq;
          return answer(seq === 0 ? { error: { code: 404, err_code: 10037, description: 'no message found' } } : { message: { seq } });
        }
        const request = decode(data) as { config: { opt_start_seq: number } };
        this.starts.push(request.config.opt_start_seq);
        return answer({});
      },
    };
  }

  setStatus(status: LinkStatus): void {
    this.#isConnected = status === 'connected';
    this.#listener(status);
  }

  record(
    seq: number,
    consumerSeq: number,
    pending = 0,
    reply = `$JS.ACK.MUSTER_x.c.1.${seq}.${consumerSeq}.1700000000123456789.${pending}`,
  ): void {
    this.lastSeq = Math.max(this.lastSeq, seq);
    this.#handler?.({ subject: 'muster.j.x.pool', reply, data: encode(seq) } as Msg);
  }

  control(code: number, fields: Record<string, string>, reply = ''): void {
    const headers = makeHeaders(code, 'Control');
    for (const [name, value] of Object.entries(fields)) headers.set(name, value);
    this.#handler?.({ subject: '_INBOX.test', reply, data: new Uint8Array(0), headers } as unknown as Msg);
  }

  /** What an idle consumer says every two seconds. */
  heartbeat(lastConsumerSeq: number): void {
    this.control(100, { 'Nats-Last-Consumer': String(lastConsumerSeq) });
  }
}

function answer(value: object) {
  return { kind: 'answer', message: { data: encode(value) } as Msg } as const;
}

let server: FakeServer;
let given: (number | string)[];
let feed: JournalFeed;

beforeEach(async () => {
  server = new FakeServer();
  given = [];
  feed = new JournalFeed(server.link, 'x', {
    message: ({ seq }) => given.push(seq),
    reset: () => given.push('reset'),
    caughtUp: () => given.push('caught up'),
  });
  await server.clock.settle();
});

test('F1: records are given in order, with their shard and time, in both forms of the delivery subject', async () => {
  const seen: unknown[] = [];
  feed.unsubscribe();
  feed = new JournalFeed(server.link, 'x', { message: (message) => seen.push(message), reset: () => undefined, caughtUp: () => undefined });
  await server.clock.settle();
  server.record(3, 1);
  server.record(9, 2, 0, '$JS.ACK._.ACCOUNT.MUSTER_x.c.1.9.2.1700000000123456789.0.random');
  expect(seen).toMatchObject([
    { shard: 'pool', seq: 3 },
    { shard: 'pool', seq: 9 },
  ]);
  expect(seen.map((message) => Math.round((message as { timeMs: number }).timeMs))).toEqual([1700000000123, 1700000000123]);
});

test('F2: a gap in the count of the consumer makes a new one from the next position; nothing is given out of order', async () => {
  server.record(3, 1);
  server.record(7, 3);
  expect(given).toEqual(['caught up', 3]);
  await server.clock.settle();
  expect(server.starts).toEqual([1, 4]);
  server.record(5, 1);
  server.record(7, 2);
  expect(given).toEqual(['caught up', 3, 5, 7]);
});

test('F2: a heartbeat that counts more than was received makes a new consumer; one that agrees does not', async () => {
  server.record(3, 1);
  server.heartbeat(1);
  await server.clock.settle();
  expect(server.starts).toEqual([1]);
  server.heartbeat(2);
  await server.clock.settle();
  expect(server.starts).toEqual([1, 4]);
});

test('F2: after a reconnect it goes on behind what was given, and tries again until the stream answers', async () => {
  server.record(3, 1);
  server.setStatus('disconnected');
  await server.clock.run(60_000);
  server.isAnswering = false;
  server.setStatus('connected');
  await server.clock.run(5 * RETRY_MS);
  expect(server.starts).toEqual([1]);
  server.isAnswering = true;
  await server.clock.run(RETRY_MS);
  expect(server.starts).toEqual([1, 4]);
  expect(given).toEqual(['caught up', 3]);
  // Said once for the outage, not for each try.
  expect(server.logger.lines.filter(({ message }) => message === 'cannot follow the journals')).toHaveLength(1);
});

test('F3: one look at a shorter stream is not believed', async () => {
  server.record(9, 1);
  server.lastSeq = 5;
  server.setStatus('disconnected');
  server.setStatus('connected');
  await server.clock.settle();
  server.lastSeq = 9;
  await server.clock.run(RETRY_MS);
  expect(given).toEqual(['caught up', 9]);
  expect(server.starts).toEqual([1, 10]);
});

test.each([
  ['ends before what was given', { lastSeq: 5, created: '2026-01-01T00:00:00Z' }],
  ['was made anew, however long it is', { lastSeq: 100, lastRecordSeq: 5, created: SECOND }],
])('F3: a stream that %s is given again from the start', async (_, stream) => {
  server.record(9, 1);
  Object.assign(server, stream);
  server.setStatus('disconnected');
  server.setStatus('connected');
  await server.clock.run(RETRY_MS);
  expect(given).toEqual(['caught up', 9, 'reset']);
  expect(server.starts).toEqual([1, 1]);
  server.record(2, 1, 1);
  server.record(5, 2, 0);
  expect(given).toEqual(['caught up', 9, 'reset', 2, 5, 'caught up']);
});

test('F4: silence of three ticks makes a new consumer; a process that stood still is not silence', async () => {
  server.record(3, 1);
  server.clock.jump(60_000);
  await server.clock.run(0);
  expect(server.starts).toEqual([1]);
  for (let tick = 0; tick < 5; tick++) {
    server.heartbeat(1);
    await server.clock.run(TICK_MS);
  }
  expect(server.starts).toEqual([1]);
  await server.clock.run(3 * TICK_MS);
  expect(server.starts).toEqual([1, 4]);
});

test('F5: flow control is answered when what came before it has been given, also by way of a heartbeat', () => {
  server.record(3, 1);
  server.control(100, {}, '$JS.FC.MUSTER_x.c.1');
  server.control(100, { 'Nats-Last-Consumer': '1', 'Nats-Consumer-Stalled': '$JS.FC.MUSTER_x.c.2' });
  expect(server.published).toEqual(['$JS.FC.MUSTER_x.c.1', '$JS.FC.MUSTER_x.c.2']);
});

test('F6: a copy that is behind has nothing left, and the follower has not caught up; one that has all of it is found', async () => {
  feed.unsubscribe();
  server.lastSeq = 5;
  const said: (number | string)[] = [];
  feed = new JournalFeed(server.link, 'x', {
    message: ({ seq }) => said.push(seq),
    reset: () => said.push('reset'),
    caughtUp: () => said.push('caught up'),
  });
  await server.clock.settle();
  expect(said).toEqual([]);
  server.record(3, 1, 0);
  expect(said).toEqual([3]);
  server.heartbeat(1);
  await server.clock.settle();
  expect(server.starts).toEqual([1, 1, 4]);
  server.record(5, 1, 0);
  expect(said).toEqual([3, 5, 'caught up']);
});

test('F6: what was last and is gone is waited for no longer', async () => {
  feed.unsubscribe();
  server.lastSeq = 5;
  feed = new JournalFeed(server.link, 'x', { message: () => undefined, reset: () => undefined, caughtUp: () => given.push('again') });
  await server.clock.settle();
  server.lastRecordSeq = 0;
  server.heartbeat(0);
  await server.clock.settle();
  expect(given).toEqual(['caught up', 'again']);
});

test('an ended feed gives nothing more and takes its consumer with it', async () => {
  feed.unsubscribe();
  server.record(3, 1);
  server.setStatus('connected');
  await server.clock.run(60_000);
  expect(given).toEqual(['caught up']);
  expect(server.published).toEqual([expect.stringMatching(/^\$JS\.API\.CONSUMER\.DELETE\.MUSTER_x\.muster-[0-9a-z]{20}$/)]);
  expect(server.clock.pendingTimers).toBe(0);
});
