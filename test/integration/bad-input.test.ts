// What anyone may send to the public subjects with a plain NATS client, and what comes of it (DESIGN 6.1, 6.3).
import { LIMITS } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, startCluster } from './support/cluster.ts';
import type { PlainNats } from './support/plain-nats.ts';

const RESERVE = 'muster.v1.reserve.pool';
const RENEW = 'muster.v1.renew';
const RELEASE = 'muster.v1.release';
const CANCEL = 'muster.v1.cancel';
const ADMIN = 'muster.v1.admin';

let cluster: Cluster;
let plain: PlainNats;

beforeAll(async () => {
  cluster = await startCluster({
    replicas: 2,
    pools: { pool: { driver: 'simulated', floor: 2, worker: { memory: '1MiB' } } },
    isShared: true,
  });
  plain = await cluster.plain();
  await cluster.warm('pool', 2);
});
afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.report());
});
afterAll(async () => {
  await plain[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

const long = 'x'.repeat(200);
const bad: readonly (readonly [what: string, subject: string, body: string, field: string | undefined])[] = [
  ['not JSON', RESERVE, '{"org":', undefined],
  ['not UTF-8 text of JSON', RESERVE, 'org=acme', undefined],
  ['a list', RESERVE, '[]', ''],
  ['null', RESERVE, 'null', ''],
  ['nothing', RESERVE, '', 'org'],
  ['no org', RESERVE, '{}', 'org'],
  ['an unknown field', RESERVE, '{"org":"acme","colour":"red"}', 'colour'],
  ['a field of every object', RESERVE, '{"org":"acme","__proto__":{}}', '__proto__'],
  ['an org with a dot', RESERVE, '{"org":"a.b"}', 'org'],
  ['an org with a wildcard', RESERVE, '{"org":"a*"}', 'org'],
  ['an org with a space', RESERVE, '{"org":"a b"}', 'org'],
  ['an empty org', RESERVE, '{"org":""}', 'org'],
  ['an org of another alphabet', RESERVE, '{"org":"ümläut"}', 'org'],
  ['a long org', RESERVE, `{"org":"${long}"}`, 'org'],
  ['an org that is a number', RESERVE, '{"org":7}', 'org'],
  ['a request id with >', RESERVE, '{"org":"acme","requestId":"a>"}', 'requestId'],
  ['a long request id', RESERVE, `{"org":"acme","requestId":"${long}"}`, 'requestId'],
  ['a negative wait', RESERVE, '{"org":"acme","waitMs":-1}', 'waitMs'],
  ['a huge wait', RESERVE, `{"org":"acme","waitMs":${LIMITS.waitMsMax + 1}}`, 'waitMs'],
  ['an endless wait', RESERVE, '{"org":"acme","waitMs":1e999}', 'waitMs'],
  ['a wait in words', RESERVE, '{"org":"acme","waitMs":"5s"}', 'waitMs'],
  ['half a millisecond', RESERVE, '{"org":"acme","waitMs":0.5}', 'waitMs'],
  ['a lease of nothing', RESERVE, '{"org":"acme","ttlMs":0}', 'ttlMs'],
  ['a negative lease', RESERVE, '{"org":"acme","ttlMs":-5000}', 'ttlMs'],
  ['a huge lease', RESERVE, `{"org":"acme","ttlMs":${LIMITS.ttlMsMax + 1}}`, 'ttlMs'],
  ['a lease of 2^53', RESERVE, '{"org":"acme","ttlMs":9007199254740993}', 'ttlMs'],
  ['an activation that is a list', RESERVE, '{"org":"acme","activation":[]}', 'activation'],
  ['a large activation', RESERVE, JSON.stringify({ org: 'acme', activation: { a: 'x'.repeat(LIMITS.activationBytesMax) } }), 'activation'],
  ['a pool in capitals', 'muster.v1.reserve.POOL', '{"org":"acme"}', 'pool'],
  ["the janitor's name as a pool", 'muster.v1.reserve.janitor', '{"org":"acme"}', 'pool'],
  ['no reservations to renew', RENEW, '[]', ''],
  ['a renewal without an epoch', RENEW, '{"id":"pool-x_1"}', 'epoch'],
  ['a renewal of epoch 0', RENEW, '{"id":"pool-x_1","epoch":0}', 'epoch'],
  [
    'too many renewals',
    RENEW,
    JSON.stringify(Array.from({ length: LIMITS.renewalsMax + 1 }, (_, n) => ({ id: `p-${n}_1`, epoch: 1 }))),
    '',
  ],
  ['a list with one that is none', RELEASE, '[{"id":"pool-x_1","epoch":1},{"id":"pool-y_1"}]', '1.epoch'],
  ['a release of an id with a dot', RELEASE, '{"id":"pool.x_1","epoch":1}', 'id'],
  ['a release that is a text', RELEASE, '"pool-x_1"', ''],
  ['a cancel without a request', CANCEL, '{"pool":"pool","org":"acme"}', 'requestId'],
  ['a cancel in an unknown field', CANCEL, '{"pool":"pool","org":"acme","requestId":"a","why":1}', 'why'],
  ['an administration that is none', ADMIN, '{"type":"explode"}', 'type'],
  ['a negative hold', ADMIN, '{"type":"hold","pool":"pool","holdMs":-1}', 'holdMs'],
  ['a page of -1', ADMIN, '{"type":"slots","page":-1}', 'page'],
];

describe('a plain NATS client', () => {
  it.each(bad)('that sends %s is told what is wrong with it', async (_what, subject, body, field) => {
    const answer = await plain.request(subject, body);
    expect(answer).toMatchObject({ ok: false, error: { code: 'bad-request', message: expect.stringMatching(/\S/) } });
    if (field !== undefined) expect(answer).toMatchObject({ error: { field } });
  });

  it.each([RESERVE, RENEW, RELEASE, CANCEL, ADMIN])('that sends a message over the limit to %s is told the limit', async (subject) => {
    const answer = await plain.request(subject, JSON.stringify({ org: 'acme', activation: { a: 'x'.repeat(100_000) } }));
    expect(answer).toMatchObject({ ok: false, error: { code: 'payload-too-large', message: expect.stringContaining('65536') } });
  });

  it('that asks for a pool that is not there gets a miss', async () => {
    for (const pool of ['nowhere', 'constructor', 'pool-2']) {
      const answer = await plain.request(`muster.v1.reserve.${pool}`, '{"org":"acme","waitMs":5000}');
      expect(answer).toMatchObject({ ok: false, miss: { reason: 'pool-unknown', retryAfterMs: expect.any(Number) } });
    }
    expect(await plain.request(CANCEL, '{"pool":"nowhere","org":"acme","requestId":"a"}')).toMatchObject({
      ok: false,
      error: { code: 'not-found', field: 'pool' },
    });
  });

  it('that names a reservation that never was is told that there is none', async () => {
    expect(await plain.request(RELEASE, '{"id":"nowhere-x_1","epoch":1}')).toMatchObject({ ok: false, error: { code: 'not-found' } });
    expect(await plain.request(RENEW, '{"id":"pool-never_1","epoch":1}')).toMatchObject({ ok: false, error: { code: 'ended' } });
    const both = await plain.request(RENEW, '[{"id":"nowhere-x_1","epoch":1},{"id":"pool-never_1","epoch":1}]');
    expect(both).toMatchObject({
      ok: true,
      results: [
        { ok: false, error: { code: 'not-found' } },
        { ok: false, error: { code: 'ended' } },
      ],
    });
  });

  it('changes nothing with all that, and is served when it asks well', async () => {
    await eventually(async () =>
      expect(await cluster.pool('pool')).toMatchObject({ warm: 2, reserved: 0, parked: 0, waiting: 0, refused: 0 }),
    );
    const { intents } = await cluster.admin({ type: 'intents' });
    expect(intents.map(({ slots }) => slots)).toEqual([{ pool: 2 }]);

    const asked = '{"org":"acme","waitMs":5000,"ttlMs":60000,"requestId":"r1"}';
    const granted = (await plain.request(RESERVE, asked)) as { reservation: { id: string; epoch: number; slot: string } };
    const { id, epoch, slot } = granted.reservation;
    expect(granted).toEqual({
      ok: true,
      reservation: {
        id: `${slot}_1`,
        slot: expect.stringMatching(/^pool-/),
        org: 'acme',
        epoch: 1,
        endpoint: expect.stringContaining(slot),
        token: expect.any(String),
        subject: `muster.v1.reservation.${id}`,
        ttlMs: 60_000,
      },
      source: 'warm',
      waitedMs: 0,
    });
    expect(await plain.request(RESERVE, asked)).toEqual(granted);
    const ref = JSON.stringify({ id, epoch });
    expect(await plain.request(RENEW, ref)).toEqual({ ok: true, results: [{ id, ok: true, ttlMs: 60_000 }] });
    expect(await plain.request(RELEASE, JSON.stringify({ id, epoch: epoch + 1 }))).toMatchObject({
      ok: false,
      error: { code: 'stale-epoch' },
    });
    expect(await plain.request(RELEASE, `[${ref}]`)).toEqual({ ok: true, results: [{ id, ok: true }] });
    expect(await plain.request(RELEASE, ref)).toMatchObject({ ok: false, error: { code: 'ended', reason: 'released' } });
    expect(await plain.request(RENEW, ref)).toMatchObject({ ok: false, error: { code: 'ended', reason: 'released' } });
    expect(await plain.request(RESERVE, asked)).toMatchObject({ ok: false, error: { code: 'ended', reason: 'released' } });
    expect(await plain.request(CANCEL, '{"pool":"pool","org":"acme","requestId":"r2"}')).toEqual({ ok: true });
    expect(await plain.request(RESERVE, '{"org":"acme","requestId":"r2"}')).toMatchObject({
      ok: false,
      error: { code: 'ended', reason: 'cancelled' },
    });
  });
});
