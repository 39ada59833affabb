import { subjects } from '@muster/protocol';
import { ActivationRefused } from '@muster/worker';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const POOL = (more = '') => `pools: { demo: { driver: simulated, floor: 2${more} } }`;

async function warmCluster(options: Partial<Parameters<typeof MemoryCluster.start>[0]> = {}, floor = 2): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ config: POOL(), ...options });
  await cluster.untilWarm('demo', floor);
  return cluster;
}

test('a warm slot is handed out with an endpoint and a token, and its activation reaches the worker', async () => {
  const told: unknown[] = [];
  const cluster = await warmCluster({
    handlers: () => ({
      onActivate: (context) => {
        told.push([context.org, context.activation]);
      },
    }),
  });
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1', activation: { secret: 's' } });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  expect(answer.source).toBe('warm');
  expect(answer.reservation).toMatchObject({ org: 'acme', epoch: 1, ttlMs: 60_000, endpoint: `memory://${answer.reservation.slot}` });
  expect(told).toEqual([['acme', { secret: 's' }]]);
  expect(cluster.workers.get(answer.reservation.slot)?.isHolder(answer.reservation.token)).toBe(true);
  const journal = await cluster.clock.resolve(
    cluster.any.runtime.ask('demo', { type: 'reserve', org: 'acme', requestId: 'r1', isIdGiven: true, waitMs: 0 }, { timeoutMs: 5_000 }),
  );
  expect(journal.value).toMatchObject({ ok: true, reservation: { id: answer.reservation.id, token: answer.reservation.token } });
});

test('the same request id gives the same reservation; after its release it has ended', async () => {
  const cluster = await warmCluster();
  const first = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  const again = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  if (!first.ok || !again.ok) throw new Error('no grant');
  expect(again.reservation).toEqual(first.reservation);
  const { id, epoch } = first.reservation;
  expect(await cluster.askNow(subjects.release(), { id, epoch })).toMatchObject({ ok: true });
  expect(await cluster.askNow(subjects.release(), { id, epoch })).toMatchObject({
    ok: false,
    error: { code: 'ended', reason: 'released' },
  });
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' })).toMatchObject({ ok: false, error: { code: 'ended' } });
});

test('asked again with its request id a reservation has its whole lease again', async () => {
  const cluster = await warmCluster();
  const ask = { org: 'acme', requestId: 'r1', ttlMs: 4_000 };
  const first = await cluster.reserveNow('demo', ask);
  if (!first.ok) throw new Error('no grant');
  const { id, epoch } = first.reservation;
  await cluster.clock.run(3_500);
  expect(await cluster.reserveNow('demo', ask)).toMatchObject({ ok: true, reservation: { id, ttlMs: 4_000 } });
  await cluster.clock.run(3_500);
  expect(await cluster.askNow(subjects.renew(), { id, epoch })).toMatchObject({ ok: true, results: [{ id, ok: true }] });
});

test('a released slot is parked for its org, and for nobody else', async () => {
  const cluster = await warmCluster();
  const first = await cluster.reserveNow('demo', { org: 'acme' });
  if (!first.ok) throw new Error('no grant');
  await cluster.askNow(subjects.release(), { id: first.reservation.id, epoch: 1 });
  const other = await cluster.reserveNow('demo', { org: 'other' });
  const again = await cluster.reserveNow('demo', { org: 'acme' });
  if (!other.ok || !again.ok) throw new Error('no grant');
  expect(other.reservation.slot).not.toBe(first.reservation.slot);
  expect(again).toMatchObject({ source: 'parked', reservation: { slot: first.reservation.slot, epoch: 2 } });
});

test('20 concurrent reserves of an org with max 3 give exactly 3, the rest org-cap at once, and start nothing', async () => {
  const cluster = await warmCluster({ replicas: 3, config: `${POOL().replace('floor: 2', 'floor: 5')}\norgs: { acme: { max: 3 } }` }, 5);
  const intents = cluster.intents().length;
  const answers = await cluster.clock.resolve(
    Promise.all(Array.from({ length: 20 }, (_, n) => cluster.reserve('demo', { org: 'acme', requestId: `r${n}`, waitMs: 10_000 }))),
  );
  expect(answers.filter((answer) => answer.ok)).toHaveLength(3);
  const misses = answers.filter((answer) => !answer.ok);
  for (const miss of misses) expect(miss).toMatchObject({ miss: { reason: 'org-cap' } });
  await cluster.clock.run(30_000);
  // Only what the three took from the floor is replaced.
  const started = cluster
    .intents()
    .slice(intents)
    .reduce((sum, intent) => sum + (intent.slots.demo ?? 0), 0);
  expect(started).toBe(3);
});

test('a waiter gets the next warm slot; one that goes away holds no place', async () => {
  const cluster = await warmCluster({ startMs: 1_500 });
  const answers = await cluster.clock.resolve(
    Promise.all(Array.from({ length: 6 }, (_, n) => cluster.reserve('demo', { org: `org${n}`, waitMs: 20_000 }))),
  );
  const sources = answers.map((answer) => (answer.ok ? answer.source : 'miss')).sort();
  expect(sources).toEqual(['waited', 'waited', 'waited', 'waited', 'warm', 'warm']);
  expect(new Set(answers.map((answer) => (answer.ok ? answer.reservation.slot : ''))).size).toBe(6);
});

test('a lease that is not renewed ends its reservation, and its holder is told', async () => {
  const cluster = await warmCluster();
  const lost: string[] = [];
  const answer = await cluster.reserveNow('demo', { org: 'acme', ttlMs: 5_000, requestId: 'r1' });
  if (!answer.ok) throw new Error('no grant');
  cluster.client.subscribe(`${answer.reservation.subject}.lost`, (message) => lost.push(new TextDecoder().decode(message.data)));
  const { id, epoch } = answer.reservation;
  for (let n = 0; n < 5; n += 1) {
    await cluster.clock.run(3_000);
    expect(await cluster.askNow(subjects.renew(), { id, epoch })).toMatchObject({ ok: true, results: [{ id, ok: true, ttlMs: 5_000 }] });
  }
  expect(lost).toEqual([]);
  await cluster.clock.run(6_000);
  expect(lost.map((text) => JSON.parse(text).reason)).toEqual(['lease-expired']);
  expect(await cluster.askNow(subjects.renew(), { id, epoch })).toMatchObject({ ok: false, error: { code: 'ended' } });
});

test('a worker that refuses for its own cause is replaced inside the same call; one that refuses the request is not tried again', async () => {
  let refusals = 1;
  const cluster = await warmCluster({
    handlers: () => ({
      onActivate: ({ activation }) => {
        if (activation.bad === true) throw new ActivationRefused('request', 'the database is locked');
        if (refusals-- > 0) throw new ActivationRefused('worker', 'broken engine');
      },
    }),
  });
  expect(await cluster.reserveNow('demo', { org: 'acme', waitMs: 5_000 })).toMatchObject({ ok: true });
  await cluster.untilWarm('demo', 2);
  const refused = await cluster.reserveNow('demo', { org: 'acme', waitMs: 5_000, activation: { bad: true } });
  expect(refused).toMatchObject({ ok: false, miss: { reason: 'activation-failed', detail: 'the database is locked' } });
  await cluster.clock.run(5_000);
  expect(cluster.pool('demo').warm).toBe(2);
});

test('cancel ends what a request has become, and a request that comes after its cancel', async () => {
  const cluster = await warmCluster();
  const granted = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  expect(granted.ok).toBe(true);
  await cluster.askNow(subjects.cancel(), { pool: 'demo', org: 'acme', requestId: 'r1' });
  await cluster.askNow(subjects.cancel(), { pool: 'demo', org: 'acme', requestId: 'r2' });
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' })).toMatchObject({
    error: { code: 'ended', reason: 'cancelled' },
  });
  expect(await cluster.reserveNow('demo', { org: 'acme', requestId: 'r2' })).toMatchObject({
    error: { code: 'ended', reason: 'cancelled' },
  });
  await cluster.clock.run(5_000);
  expect(cluster.pool('demo')).toMatchObject({ reserved: 0, warm: 2 });
});

test.each([
  ['not JSON', subjects.reserve('demo'), new TextEncoder().encode('{'), undefined],
  ['an unknown field', subjects.reserve('demo'), { org: 'acme', wiatMs: 5 }, 'wiatMs'],
  ['an org that is no token', subjects.reserve('demo'), { org: 'a.b' }, 'org'],
  ['a negative wait', subjects.reserve('demo'), { org: 'acme', waitMs: -1 }, 'waitMs'],
  ['a huge lease', subjects.reserve('demo'), { org: 'acme', ttlMs: 1e12 }, 'ttlMs'],
  ['an id that is none', subjects.release(), { id: 'a b', epoch: 1 }, 'id'],
])('bad input is refused and changes nothing: %s', async (_name, subject, body, field) => {
  const cluster = await warmCluster();
  const seq = cluster.server.lastSeq;
  const data = body instanceof Uint8Array ? body : new TextEncoder().encode(JSON.stringify(body));
  const reply = await cluster.clock.resolve(cluster.client.request(subject, data, { timeoutMs: 5_000 }));
  const answer = JSON.parse(new TextDecoder().decode(reply.data));
  expect(answer).toMatchObject({
    ok: false,
    error: { code: 'bad-request', ...(field === undefined ? {} : { field: expect.stringContaining(field) }) },
  });
  expect(cluster.pool('demo')).toMatchObject({ warm: 2, reserved: 0 });
  expect(cluster.server.lastSeq - seq).toBeLessThanOrEqual(1);
});
