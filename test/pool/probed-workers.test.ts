// Workers that know nothing of Muster: ready when what runs them says so, told over HTTP (contract `probe`).
import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const template = 'podTemplate: { containers: [{ name: worker, image: nginx, ports: [{ containerPort: 8080 }] }] }';

async function start(probe: string, more = 'floor: 2'): Promise<MemoryCluster> {
  const config = `pools: { demo: { driver: kubernetes, ${template}, contract: probe, probe: { ${probe} }, ${more} } }`;
  const cluster = await MemoryCluster.start({ config, isMute: true });
  await cluster.clock.runUntil(() => cluster.driver.running.length === 2);
  return cluster;
}
function makeReady(cluster: MemoryCluster): void {
  for (const [n, slot] of cluster.driver.running.entries()) cluster.driver.say(slot, { isReady: true, address: `10.0.0.${n + 1}` });
}
async function warm(probe: string, more?: string): Promise<MemoryCluster> {
  const cluster = await start(probe, more);
  makeReady(cluster);
  await cluster.untilWarm('demo', 2);
  return cluster;
}

test('such a worker is warm when its pod is ready, and reached at the address of the pod and the port of the template', async () => {
  const cluster = await start('');
  await cluster.clock.run(10_000);
  expect(cluster.pool('demo')).toMatchObject({ warm: 0, spawning: 2 });
  makeReady(cluster);
  await cluster.untilWarm('demo', 2);
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  expect(answer).toMatchObject({ ok: true, reservation: { endpoint: 'http://10.0.0.1:8080' } });
});

test('it is never silent: it does not beat', async () => {
  const cluster = await warm('');
  await cluster.clock.run(120_000);
  expect(cluster.pool('demo')).toMatchObject({ warm: 2, unreachable: 0 });
});

test('an address of IPv6 is one in the endpoint too', async () => {
  const cluster = await start('scheme: https, port: 8443');
  for (const slot of cluster.driver.running) cluster.driver.say(slot, { isReady: true, address: 'fd00::1' });
  await cluster.untilWarm('demo', 2);
  expect(await cluster.reserveNow('demo', { org: 'acme' })).toMatchObject({ reservation: { endpoint: 'https://[fd00::1]:8443' } });
});

test('an activation is posted to it, and its yes is waited for', async () => {
  const cluster = await warm('activate: /activate, release: /release');
  const told: unknown[] = [];
  for (const path of ['activate', 'release']) {
    cluster.http.servers.set(`http://10.0.0.1:8080/${path}`, (body) => {
      told.push([path, body]);
      return { status: 204, text: '' };
    });
  }
  const answer = await cluster.reserveNow('demo', { org: 'acme', activation: { secret: 's' } });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  const { id, slot, token } = answer.reservation;
  const head = { type: undefined, slot, epoch: 1, reservation: id };
  await cluster.askNow(subjects.release(), { id, epoch: 1 });
  await cluster.clock.run(1_000);
  expect(told).toEqual([
    ['activate', { ...head, pool: 'demo', org: 'acme', token, activation: { secret: 's' } }],
    ['release', head],
  ]);
});

test.each([
  [409, 'activation-failed', 1],
  [429, undefined, 2],
  [500, undefined, 2],
])('an answer of %i: the miss is %s, and %i workers were asked', async (status, reason, asked) => {
  const cluster = await warm('activate: /activate');
  const calls: string[] = [];
  const answer = (host: string, code: number) =>
    cluster.http.servers.set(`http://${host}:8080/activate`, () => {
      calls.push(host);
      return { status: code, text: 'words' };
    });
  answer('10.0.0.1', status);
  answer('10.0.0.2', 200);
  const given = await cluster.reserveNow('demo', { org: 'acme' });
  expect(given.ok ? undefined : 'miss' in given ? given.miss.reason : 'error').toBe(reason);
  expect(calls).toHaveLength(asked);
});

test('a worker that cannot be reached costs its slot, and the next one is taken', async () => {
  const cluster = await warm('activate: /activate');
  cluster.http.servers.set('http://10.0.0.2:8080/activate', () => ({ status: 200, text: '' }));
  expect(await cluster.reserveNow('demo', { org: 'acme' })).toMatchObject({ reservation: { endpoint: 'http://10.0.0.2:8080' } });
});

test('one that cannot forget an org serves no second one', async () => {
  const cluster = await warm('', 'floor: 2, recycle: shared');
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  if (!answer.ok) throw new Error('no grant');
  await cluster.askNow(subjects.release(), { id: answer.reservation.id, epoch: 1 });
  await cluster.clock.run(5_000);
  expect(cluster.slots().map(({ slot }) => slot)).not.toContain(answer.reservation.slot);
});

test('one that has forgotten its org serves the next', async () => {
  const cluster = await warm('reset: /reset', 'floor: 2, recycle: shared');
  const orgs: unknown[] = [];
  for (const host of ['10.0.0.1', '10.0.0.2']) {
    cluster.http.servers.set(`http://${host}:8080/reset`, (body) => {
      orgs.push((body as { org?: string }).org);
      return { status: 200, text: '' };
    });
  }
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  if (!answer.ok) throw new Error('no grant');
  await cluster.askNow(subjects.release(), { id: answer.reservation.id, epoch: 1 });
  await cluster.clock.run(1_000);
  expect(orgs).toEqual([undefined]);
  expect(cluster.slots().find(({ slot }) => slot === answer.reservation.slot)).toMatchObject({ state: 'warm' });
});

test('one that is not ready any more is no candidate, and is one again when it is', async () => {
  const cluster = await warm('', 'floor: 2, max: 2');
  const [first, second] = cluster.driver.running;
  cluster.driver.say(first ?? '', { isReady: false });
  const answer = await cluster.reserveNow('demo', { org: 'acme' });
  expect(answer).toMatchObject({ reservation: { slot: second } });
  cluster.driver.say(first ?? '', { isReady: true });
  expect(await cluster.reserveNow('demo', { org: 'other' })).toMatchObject({ reservation: { slot: first } });
});

test('one whose pod is gone without a word is lost when two lists lack it', async () => {
  const cluster = await warm('');
  const [lost] = cluster.driver.running;
  cluster.driver.lose(lost ?? '');
  await cluster.clock.run(5_000);
  expect(cluster.slots().map(({ slot }) => slot)).toContain(lost);
  await cluster.clock.run(65_000);
  expect(cluster.slots().map(({ slot }) => slot)).not.toContain(lost);
});
