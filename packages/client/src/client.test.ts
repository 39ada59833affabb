import { shardForOrg } from '@muster/domain';
import { encode, MusterError, type ReserveAnswer, subjects } from '@muster/protocol';
import { describe, expect, it } from 'vitest';
import { MissError } from './errors.ts';
import { elsewhere, grant, makeCluster } from './fake-shard.ts';

const miss = (reason: 'org-cap' | 'shutting-down'): ReserveAnswer => ({ ok: false, miss: { reason, retryAfterMs: 1_000 } });

describe('reserve', () => {
  it('sends the command straight to the shard of the org, and gives what it needs to call the worker', async () => {
    const shards = ['duckdb--0', 'duckdb--1', 'duckdb--2'];
    const { client, clock, own, received } = makeCluster({ duckdb: shards });
    const shard = shardForOrg('acme', shards);
    own(shard, () => ({ epoch: 3, answer: grant(`${shard}-s1_1`) }));
    const reservation = await clock.resolve(client.reserve('duckdb', { org: 'acme', activation: { database: 'd' }, ttlMs: 6_000 }));
    expect(reservation).toMatchObject({ id: `${shard}-s1_1`, endpoint: 'http://127.0.0.1:1', token: 't', epoch: 1, source: 'warm' });
    expect(received).toHaveLength(1);
    expect(received[0]?.body).toMatchObject({ type: 'reserve', org: 'acme', waitMs: 0, waitedMs: 0, isIdGiven: false, ttlMs: 6_000 });
    expect(received[0]?.body).toMatchObject({ activation: { database: 'd' } });
    expect(received[0]?.body).toMatchObject({ requestId: received[0]?.id });
  });

  it('throws the typed miss; tryReserve gives it as data', async () => {
    const { client, clock, own } = makeCluster();
    own('duckdb', () => ({ epoch: 1, answer: miss('org-cap') }));
    const error = await clock.resolve(client.reserve('duckdb', { org: 'acme' }).catch((caught: unknown) => caught));
    expect(error).toBeInstanceOf(MissError);
    expect((error as MissError).miss).toEqual({ reason: 'org-cap', retryAfterMs: 1_000 });
    expect(await clock.resolve(client.tryReserve('duckdb', { org: 'acme' }))).toEqual(miss('org-cap'));
  });

  it.each([
    [{ org: 'a.b' }, 'org'],
    [{ org: 'acme', waitMs: -1 }, 'waitMs'],
    [{ org: 'acme', ttlMs: 1 }, 'ttlMs'],
    [{ org: 'acme', requestId: 'no spaces' }, 'requestId'],
  ])('refuses %j before anything is sent, naming %s', async (options, field) => {
    const { client, received } = makeCluster();
    await expect(client.reserve('duckdb', options)).rejects.toMatchObject({ code: 'bad-request', field });
    expect(received).toHaveLength(0);
  });

  it('learns the pools once, and says pool-unknown for one that no replica knows', async () => {
    const { client, clock, own, poolQuestions } = makeCluster();
    own('duckdb', () => ({ epoch: 1, answer: miss('org-cap') }));
    await clock.resolve(client.tryReserve('duckdb', { org: 'acme' }));
    await clock.resolve(client.tryReserve('duckdb', { org: 'acme' }));
    expect(poolQuestions()).toBe(1);
    expect(await clock.resolve(client.tryReserve('other', { org: 'acme' }))).toMatchObject({ miss: { reason: 'pool-unknown' } });
  });

  it('asks again with the same id while the shard has no owner, has moved, or its replica is stopping', async () => {
    const { client, clock, own, received } = makeCluster();
    const answer = client.tryReserve('duckdb', { org: 'acme', requestId: 'r1' });
    await clock.run(500);
    own('duckdb', (_, nth) => {
      if (nth === 0) return elsewhere;
      if (nth === 1) return { epoch: 2, error: { code: 'shutting-down', message: 'stopping' } };
      return nth === 2 ? { epoch: 2, answer: miss('shutting-down') } : { epoch: 3, answer: grant() };
    });
    expect(await clock.resolve(answer)).toEqual(grant());
    expect(received.map(({ id }) => id)).toEqual(['r1', 'r1', 'r1', 'r1']);
    const gaps = received.slice(1).map(({ atMs }, at) => atMs - (received[at]?.atMs ?? 0));
    for (const gap of gaps) expect(gap).toBeLessThanOrEqual(200);
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(20);
  });

  it('gives overloaded back at once', async () => {
    const { client, clock, own, received } = makeCluster();
    own('duckdb', () => ({ epoch: 1, error: { code: 'overloaded', message: 'the mailbox is full', retryAfterMs: 50 } }));
    expect(await clock.resolve(client.tryReserve('duckdb', { org: 'acme' }))).toMatchObject({ ok: false, error: { code: 'overloaded' } });
    await expect(clock.resolve(client.reserve('duckdb', { org: 'acme' }))).rejects.toMatchObject({ code: 'overloaded' });
    expect(received).toHaveLength(2);
  });

  it('repeats a waiting request every 2 s with the time waited and the activation, and takes the first final answer', async () => {
    const { client, clock, own, of } = makeCluster();
    own('duckdb', (_, nth) => (nth < 3 ? undefined : { epoch: 1, answer: grant() }));
    const answer = client.tryReserve('duckdb', { org: 'acme', waitMs: 30_000, requestId: 'r1', activation: { key: 'v' } });
    expect(await clock.resolve(answer)).toEqual(grant());
    const sent = of('reserve');
    expect(sent.map(({ atMs }) => atMs)).toEqual([0, 2_000, 4_000, 6_000]);
    expect(sent.map(({ body }) => (body as { waitedMs: number }).waitedMs)).toEqual([0, 2_000, 4_000, 6_000]);
    for (const { id, body } of sent) {
      expect(id).toBe('r1');
      expect(body).toMatchObject({ requestId: 'r1', isIdGiven: true, waitMs: 30_000, activation: { key: 'v' } });
    }
    await clock.run(10_000);
    expect(of('reserve')).toHaveLength(4);
  });

  it('lets an answer of a lower epoch win only when the deadline has passed', async () => {
    const { client, clock, own } = makeCluster();
    own('duckdb', (_, nth) => (nth === 0 ? { ...elsewhere, epoch: 5 } : { epoch: 4, answer: miss('org-cap') }));
    const answer = client.tryReserve('duckdb', { org: 'acme', answerMs: 3_000 });
    let settled = false;
    void answer.then(() => {
      settled = true;
    });
    await clock.run(2_900);
    expect(settled).toBe(false);
    expect(await clock.resolve(answer)).toEqual(miss('org-cap'));
  });

  it('cancels a request when its deadline passes, and says what it was waiting for', async () => {
    const { client, clock, own, of } = makeCluster();
    own('duckdb', ({ body }) => (body.type === 'cancel' ? { epoch: 1, answer: { ok: true } } : undefined));
    const reserving = client.reserve('duckdb', { org: 'acme', waitMs: 1_000, answerMs: 500, requestId: 'r1' });
    await expect(clock.resolve(reserving)).rejects.toMatchObject({ code: 'timeout', message: expect.stringContaining('1500 ms') });
    await clock.resolve(client.close());
    expect(of('cancel').map(({ body }) => body)).toEqual([{ type: 'cancel', org: 'acme', requestId: 'r1' }]);
    expect(clock.monotonicMs()).toBe(1_500);
  });

  it('cancels a request whose signal is aborted, also across a shard that moves', async () => {
    const { client, clock, own, of } = makeCluster();
    own('duckdb', ({ body }, nth) => (body.type !== 'cancel' ? undefined : nth < 3 ? elsewhere : { epoch: 2, answer: { ok: true } }));
    const abort = new AbortController();
    const reserving = client.reserve('duckdb', { org: 'acme', waitMs: 60_000, requestId: 'r1', signal: abort.signal });
    reserving.catch(() => undefined);
    await clock.run(1_000);
    abort.abort(new Error('went away'));
    await expect(reserving).rejects.toThrow('went away');
    await clock.resolve(client.close());
    expect(of('cancel').length).toBeGreaterThanOrEqual(2);
    expect(of('reserve')).toHaveLength(1);
    await expect(client.reserve('duckdb', { org: 'acme', signal: abort.signal })).rejects.toBeInstanceOf(MusterError);
  });

  it.each([
    ['an id of its own: nobody could', undefined, 1],
    ['an id that its caller gave, who may', 'r1', 0],
  ])('releases the grant of a copy that comes after the refusal, for %s come back for it', async (_what, requestId, releases) => {
    const { client, clock, server, own, of } = makeCluster();
    let late: (() => void) | undefined;
    server.subscribe(subjects.shardRequest('duckdb'), (message) => {
      late ??= () => message.respond(encode({ epoch: 1, answer: grant() }));
    });
    own('duckdb', ({ body }, nth) => {
      if (body.type === 'release') return { epoch: 1, answer: { ok: true, results: [{ id: 'duckdb-s1_1', ok: true }] } };
      return nth === 0 ? undefined : { epoch: 1, answer: miss('org-cap') };
    });
    const answer = client.tryReserve('duckdb', { org: 'acme', ...(requestId === undefined ? {} : { requestId }) });
    expect(await clock.resolve(answer)).toEqual(miss('org-cap'));
    expect(of('reserve')).toHaveLength(2);
    late?.();
    await clock.run(1_000);
    const released = of('release').map(({ body }) => body);
    expect(released).toEqual(
      Array.from({ length: releases }, () => ({ type: 'release', reservations: [{ id: 'duckdb-s1_1', epoch: 1 }] })),
    );
    expect(of('cancel')).toEqual([]);
  });

  it('does not send anything for a signal that is aborted already', async () => {
    const { client, received } = makeCluster();
    await expect(client.reserve('duckdb', { org: 'acme', signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    expect(received).toHaveLength(0);
  });

  it('goes on over a broken link', async () => {
    const { client, clock, bus, own } = makeCluster();
    own('duckdb', () => ({ epoch: 1, answer: grant() }));
    await clock.resolve(client.tryReserve('duckdb', { org: 'acme' }));
    bus.disconnect();
    const answer = client.tryReserve('duckdb', { org: 'acme' });
    await clock.run(3_000);
    bus.reconnect();
    expect(await clock.resolve(answer)).toEqual(grant());
  });
});

describe('release by reference', () => {
  it('refuses an id that names no shard', async () => {
    const { client } = makeCluster();
    await expect(client.release({ id: 'nothing', epoch: 1 })).rejects.toMatchObject({ code: 'not-found', field: 'id' });
  });
});
