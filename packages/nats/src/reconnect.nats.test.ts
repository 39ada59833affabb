import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Journal } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { appendValue, eventually, followAll, type NatsWorld, natsServerBinaries, startNatsWorld, tempDir } from '@muster/testkit';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const TIMEOUT_MS = 20_000;
/** Until a dropped link is dialled again, and followed over. */
const BACK = { timeoutMs: 60_000 };

describe.each(natsServerBinaries())('after trouble with nats-server $version', ({ path }) => {
  const resources: AsyncDisposable[] = [];
  let world: NatsWorld;
  let storeDir: string;

  beforeEach(async () => {
    const folder = await tempDir();
    storeDir = join(folder.path, 'store');
    world = await startNatsWorld({ binary: path, storeDir });
    resources.push(folder, world);
  });
  afterEach(async () => {
    for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]();
  });

  const open = async (name: string) => {
    const nats = await world.connect(name);
    const { journal } = await nats.openClusterStore({ cluster: 'test' });
    return { bus: nats.bus, journal };
  };
  /** What an operator would do, by a connection of the test's own. */
  const operate = async (api: string, body?: object): Promise<unknown> => {
    const operator: NatsConnection = await connect({ servers: world.server.url });
    try {
      const answer = (await operator.request(`$JS.API.${api}`, body === undefined ? '' : encode(body), { timeout: TIMEOUT_MS })).json();
      expect(answer).not.toHaveProperty('error');
      return answer;
    } finally {
      await operator.close();
    }
  };
  const chain = async (journal: Journal, count: number, from = 0): Promise<number> => {
    let seq = from;
    for (let at = 0; at < count; at++) seq = await appendValue(journal, 'a', at, seq);
    return seq;
  };

  test('kill -9 and back on its store: nothing acknowledged is lost, the follower goes on, the chain still fences', async () => {
    const { bus, journal } = await open('one');
    const followed = await followAll((await open('two')).journal);
    const seq = await chain(journal, 20);
    await eventually(() => expect(followed.values).toHaveLength(20));

    await world.server.kill();
    await eventually(() => !bus.isConnected, BACK);
    expect(await journal.append('a', encode('down'), { expectedSeq: seq, timeoutMs: TIMEOUT_MS })).toMatchObject({ kind: 'unknown' });
    await expect(journal.last('a')).rejects.toMatchObject({ code: 'journal-unavailable' });

    await world.server.start();
    await eventually(() => bus.isConnected, BACK);
    expect((await journal.last('a'))?.seq).toBe(seq);
    expect(await journal.append('a', encode('stale'), { expectedSeq: seq - 1, timeoutMs: TIMEOUT_MS })).toEqual({ kind: 'conflict' });
    await appendValue(journal, 'a', 'after', seq);
    await eventually(() => expect(followed.values.at(-1)).toBe('after'), BACK);
    expect(followed.values).toHaveLength(21);
    expect([followed.resets, followed.caughtUp]).toEqual([[], 1]);
    // Said once for each connection, not for each try.
    const said = world.logger.lines.filter(({ message }) => message === 'the link to NATS is down');
    expect(said).toHaveLength(2);
  });

  test('an append that times out is unknown, lands later, and its second copy conflicts with the first', async () => {
    const { journal } = await open('one');
    const seq = await chain(journal, 1);
    await world.server.pause();
    const pinned = encode({ op: 'pinned' });
    const outcome = await journal.append('a', pinned, { expectedSeq: seq, timeoutMs: 100 });
    world.server.resume();
    expect(outcome).toMatchObject({ kind: 'unknown' });
    expect(await journal.append('a', pinned, { expectedSeq: seq, timeoutMs: TIMEOUT_MS })).toEqual({ kind: 'conflict' });
    expect(decode((await journal.next('a', seq + 1))?.data ?? encode('nothing'))).toEqual({ op: 'pinned' });
  });

  test('an append under way when the server is killed is unknown at once, not after its time-out', async () => {
    const { journal } = await open('one');
    const seq = await chain(journal, 1);
    await world.server.pause();
    const underWay = journal.append('a', encode('under way'), { expectedSeq: seq, timeoutMs: 600_000 });
    await world.server.kill();
    expect(await underWay).toMatchObject({ kind: 'unknown' });
    await world.server.start();
    const last = await eventually(async () => (await journal.last('a')) ?? false, BACK);
    // The server never read it: what was unknown did not happen.
    expect(last.seq).toBe(seq);
    await appendValue(journal, 'a', 'next', seq);
  });

  test('a server that lost its tail is noticed: the follower is reset and given all that is left', async () => {
    const { journal } = await open('one');
    const followed = await followAll(journal);
    const seq = await chain(journal, 3);
    await world.server.stop();
    await cp(storeDir, `${storeDir}.old`, { recursive: true });
    await world.server.start();
    await eventually(async () => expect((await journal.last('a'))?.seq).toBe(seq), BACK);
    await chain(journal, 2, seq);
    await eventually(() => expect(followed.values).toEqual([0, 1, 2, 0, 1]), BACK);
    expect(followed.resets).toEqual([]);

    await world.server.kill();
    await rm(storeDir, { recursive: true });
    await cp(`${storeDir}.old`, storeDir, { recursive: true });
    await world.server.start();
    await eventually(() => expect(followed.resets).toHaveLength(1), BACK);
    expect(followed.resets[0]).toContain(`ends at ${seq}`);
    await eventually(() => expect(followed.values).toEqual([0, 1, 2]), BACK);
    expect(followed.caughtUp).toBe(2);
    await appendValue(journal, 'a', 'new', seq);
    await eventually(() => expect(followed.values.at(-1)).toBe('new'), BACK);
  });

  test('a stream that was made anew is noticed, and without a stream an append is certainly not stored', async () => {
    const { journal } = await open('one');
    const { bus, journal: follower } = await open('two');
    const followed = await followAll(follower);
    await chain(journal, 3);
    await eventually(() => expect(followed.values).toHaveLength(3));
    await operate('STREAM.DELETE.MUSTER_test');
    expect(await journal.append('a', encode(1), { expectedSeq: 0, timeoutMs: TIMEOUT_MS })).toMatchObject({
      kind: 'not-stored',
      reason: 'no-responders',
    });
    const again = await open('three');
    await chain(again.journal, 5);
    await eventually(() => expect(followed.values).toEqual([0, 1, 2, 3, 4]), BACK);
    expect(followed.resets).toHaveLength(1);
    expect(bus.isConnected).toBe(true);
  });

  test('a consumer that silently went away is made anew, without a gap or a repeat', async () => {
    const { journal } = await open('one');
    const followed = await followAll(journal);
    const seq = await chain(journal, 3);
    await eventually(() => expect(followed.values).toHaveLength(3));
    const { consumers } = (await operate('CONSUMER.NAMES.MUSTER_test')) as { consumers: string[] };
    expect(consumers).not.toEqual([]);
    // More than one where the follower has just made itself another, and the server has not forgotten the first.
    for (const consumer of consumers) await operate(`CONSUMER.DELETE.MUSTER_test.${consumer}`);
    await chain(journal, 2, seq);
    await eventually(() => expect(followed.values).toEqual([0, 1, 2, 0, 1]), BACK);
    expect(followed.resets).toEqual([]);
    expect(world.logger.lines.some(({ message }) => message.includes('fell silent'))).toBe(true);
  });

  test('an ended follower leaves no consumer behind', async () => {
    const { journal } = await open('one');
    const followed = await followAll(journal);
    await eventually(() => expect(followed.caughtUp).toBe(1));
    followed.unsubscribe();
    await eventually(async () => expect(await operate('CONSUMER.NAMES.MUSTER_test')).toMatchObject({ total: 0 }), BACK);
  });
});
