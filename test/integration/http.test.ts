// What each replica shows over HTTP (DESIGN 11).
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { SLOW, startCluster } from './support/cluster.ts';

it('a replica shows its health, its metrics and the cluster over HTTP', async () => {
  await using cluster = await startCluster({
    replicas: 2,
    pools: { pool: { driver: 'simulated', floor: 2, worker: { memory: '1MiB' } } },
    orgs: { acme: { max: 1 } },
  });
  await cluster.warm('pool', 2);
  await using plain = await cluster.plain();
  const published: string[] = [];
  for (const subject of ['muster.v1.events.>', '$KV.>']) plain.subscribe(subject, (message) => published.push(message.text));
  // On their way to the server before anything is published.
  expect(await plain.request('muster.v1.pools', '{}')).toMatchObject({ ok: true });
  const granted = await cluster.reserve('pool', { org: 'acme', requestId: 'request-id-of-acme', ttlMs: 600_000 });
  if (!granted.ok) throw new Error(JSON.stringify(granted));
  const { reservation } = granted;
  expect(await cluster.reserve('pool', { org: 'acme', requestId: 'two' })).toMatchObject({ miss: { reason: 'org-cap' } });
  const waiting = cluster.reserve('pool', { org: 'other', requestId: 'three', waitMs: 60_000, ttlMs: 600_000 });
  expect(await waiting).toMatchObject({ ok: true });
  await eventually(async () => expect(await cluster.pool('pool')).toMatchObject({ warm: 2, reserved: 2, spawning: 0 }), SLOW);

  for (const id of cluster.replicas.keys()) {
    for (const path of ['/healthz', '/readyz']) {
      const health = await cluster.get(id, path);
      expect([path, health.status, await health.json()]).toEqual([path, 200, { ok: true }]);
    }
    // Read models of two replicas: each shows all of it, a moment later at the most.
    await eventually(async () => {
      const status = await cluster.read(id, 'status');
      expect(status).toMatchObject({ ok: true, cluster: 'test', replica: id, configVersion: 1 });
      expect(status.replicas.map((one) => ({ id: one.id, isAlive: one.isAlive, http: one.http }))).toEqual(
        [...cluster.replicas.keys()].sort().map((other) => ({
          id: other,
          isAlive: true,
          http: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
        })),
      );
      expect(status.replicas.flatMap(({ shards }) => shards).sort()).toEqual(['janitor', 'pool']);
      expect(status.shards.map(({ shard, owner, isFrozen }) => [shard, cluster.replicas.has(owner ?? ''), isFrozen])).toEqual([
        ['janitor', true, false],
        ['pool', true, false],
      ]);
      expect(status.pools).toMatchObject([{ pool: 'pool', driver: 'simulated', floor: 2, warm: 2, reserved: 2, parked: 0, waiting: 0 }]);

      const { slots } = await cluster.read(id, 'slots');
      expect(slots.map(({ state }) => state).sort()).toEqual(['reserved.active', 'reserved.active', 'warm', 'warm']);
      expect(slots.find(({ slot }) => slot === reservation.slot)).toMatchObject({
        pool: 'pool',
        shard: 'pool',
        org: 'acme',
        epoch: 1,
        reservation: reservation.id,
        endpoint: reservation.endpoint,
        intent: 1,
      });
      const { intents } = await cluster.read(id, 'intents');
      expect(intents.reduce((sum, intent) => sum + (intent.slots['pool'] ?? 0), 0)).toBe(4);
      expect(intents.at(-1)).toMatchObject({
        n: 1,
        pool: 'pool',
        kind: 'demand',
        slots: { pool: 2 },
        inputs: { pool: { floor: 2, waiting: 0, refused: 0, warm: 0, spawning: 0 } },
        applied: { pool: { started: 2, refused: 0, reason: null } },
      });
    }, SLOW);

    const only = (await (await cluster.get(id, '/v1/slots?org=acme&state=reserved.active')).json()) as { slots: { slot: string }[] };
    expect(only.slots.map(({ slot }) => slot)).toEqual([reservation.slot]);
    const newest = (await (await cluster.get(id, '/v1/intents?limit=1')).json()) as { intents: unknown[] };
    expect(newest.intents.length).toBe(1);
    // No token leaves with anything that is shown, and no request id, which is answered with the token.
    const paths = ['/v1/status', '/v1/pools', '/v1/slots', '/v1/orgs', '/v1/hosts', '/v1/intents', '/metrics'];
    const shown = (await Promise.all(paths.map(async (path) => (await cluster.get(id, path)).text()))).join('');
    expect(shown).not.toContain(reservation.token);
    expect(shown).not.toContain('request-id-of-acme');

    for (const [path, init, status, code] of [
      ['/v1/nothing', {}, 404, 'not-found'],
      ['/v1/slots?colour=red', {}, 400, 'bad-request'],
      ['/v1/slots?page=-1', {}, 400, 'bad-request'],
      ['/v1/slots?state=broken', {}, 400, 'bad-request'],
      ['/v1/intents?limit=many', {}, 400, 'bad-request'],
      ['/v1/slots', { method: 'DELETE' }, 405, 'bad-request'],
      [`/v1/slots?org=${'x'.repeat(4_000)}`, {}, 400, 'bad-request'],
    ] as const) {
      const refused = await cluster.get(id, path, init);
      expect([path.slice(0, 40), refused.status, await refused.json()]).toMatchObject([
        path.slice(0, 40),
        status,
        { ok: false, error: { code } },
      ]);
    }
  }
  // Nor with what is published: two events and the slot's record in the bucket.
  await eventually(() => expect(published.filter((text) => text.includes(reservation.id)).length).toBeGreaterThanOrEqual(3), SLOW);
  for (const text of [...published, cluster.report()]) {
    expect(text).not.toContain(reservation.token);
    expect(text).not.toContain('request-id-of-acme');
  }
  await eventually(async () => {
    const texts = await Promise.all([...cluster.replicas.keys()].map(async (id) => (await cluster.get(id, '/metrics')).text()));
    const sum = (series: RegExp): number =>
      texts.reduce(
        (total, text) =>
          text.split('\n').reduce((inner, line) => (series.test(line) ? inner + Number(line.split(' ').at(-1)) : inner), total),
        0,
      );
    const shown = {
      warm: sum(/^muster_slots\{.*pool="pool".*state="warm"/),
      reserved: sum(/^muster_slots\{.*pool="pool".*state="reserved"/),
      waiters: sum(/^muster_waiters\{.*pool="pool"/),
      grants: sum(/^muster_reserve_seconds_count\{.*outcome="granted"/),
      misses: sum(/^muster_misses_total\{.*reason="org-cap"/),
      known: sum(/^muster_shards /),
      shards: sum(/^muster_shards_owned /),
    };
    expect(shown).toEqual({ warm: 2, reserved: 2, waiters: 0, grants: 2, misses: 1, known: 4, shards: 2 });
    expect(sum(/^muster_intents_total\{.*kind="demand"/)).toBeGreaterThan(0);
    expect(sum(/^muster_journal_append_seconds_count\{.*shard="pool"/)).toBeGreaterThan(0);
    expect(sum(/^muster_journal_events_per_record_count/)).toBeGreaterThan(0);
    expect(sum(/^muster_takeovers_total/)).toBeGreaterThanOrEqual(2);
    expect(
      texts.every((text) => /^muster_reserve_seconds_bucket\{le="0\.00005"/m.test(text) || !text.includes('muster_reserve_seconds_bucket')),
    ).toBe(true);
    expect(texts.every((text) => text.includes('# TYPE muster_spawn_failures_total counter'))).toBe(true);
  }, SLOW);

  // Cut off from NATS it is alive and not ready.
  await cluster.nats.stop();
  const [id = ''] = cluster.replicas.keys();
  await eventually(async () => expect((await cluster.get(id, '/readyz')).status).toBe(503), SLOW);
  expect((await cluster.get(id, '/healthz')).status).toBe(200);
  expect((await cluster.get(id, '/v1/slots')).status).toBe(200);
});

it('any replica reserves over HTTP for who has a token for writing', async () => {
  const [write, read] = ['a-token-for-writing', 'a-token-for-reading'];
  await using cluster = await startCluster({
    replicas: 2,
    pools: { pool: { driver: 'simulated', floor: 1, recycle: 'same-org', worker: { memory: '1MiB' } } },
    httpTokens: `write ${write}\nread ${read}\n`,
  });
  await cluster.warm('pool', 1);
  const call = async (id: string, path: string, token: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const init = body === undefined ? { headers } : { headers, method: 'POST', body: JSON.stringify(body) };
    const answer = await cluster.get(id, path, init);
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const request = { pool: 'pool', org: 'acme', waitMs: 20_000, requestId: 'request-id-of-acme' };
  const answers = [];
  // The owner of the shard, and one that is not; asked twice it is one reservation.
  for (const id of cluster.replicas.keys()) {
    expect((await call(id, '/v1/reservations', read, request)).status).toBe(403);
    answers.push(await call(id, '/v1/reservations', write, request));
  }
  const reservation = answers[0]?.body['reservation'] as { readonly id: string; readonly epoch: number; readonly token: string };
  expect(answers).toMatchObject([
    { status: 200, body: { ok: true, reservation } },
    { status: 200, body: { ok: true, reservation } },
  ]);
  const { id, epoch } = reservation;
  for (const replica of cluster.replicas.keys()) {
    await eventually(async () => {
      const { body } = await call(replica, '/v1/reservations?org=acme', read);
      expect(body).toMatchObject({ ok: true, reservations: [{ id, epoch, pool: 'pool', org: 'acme', state: 'active' }], hasMore: false });
      expect(JSON.stringify(body)).not.toContain(reservation.token);
    }, SLOW);
  }
  const [first = ''] = cluster.replicas.keys();
  expect(await call(first, '/v1/reservations/renew', write, { id, epoch })).toMatchObject({
    status: 200,
    body: { results: [{ id, ok: true }] },
  });
  expect(await call(first, '/v1/reservations/release', write, { id, epoch })).toMatchObject({ status: 200, body: { ok: true } });
  expect(await call(first, '/v1/reservations/release', write, { id, epoch })).toMatchObject({
    status: 410,
    body: { error: { code: 'ended' } },
  });
  expect(await call(first, '/v1/reservations', write, { pool: 'nowhere', org: 'acme' })).toMatchObject({
    status: 404,
    body: { miss: { reason: 'pool-unknown' } },
  });
});
