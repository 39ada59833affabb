import { request as httpRequest } from 'node:http';
import type { Requests } from '@muster/pool';
import { silentLogger } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { afterEach, expect, test } from 'vitest';
import { type HttpOptions, type HttpServer, serveHttp } from './http-server.ts';

const WRITE = 'a-token-for-writing';
const READ = 'a-token-for-reading';
const granted = { ok: true, reservation: { id: 'duckdb-a_1' }, source: 'warm', waitedMs: 0 };

const open: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

type Asked = readonly [what: string, ...given: unknown[]];

async function serve(answer: (...asked: Asked) => unknown, changes: Partial<HttpOptions> = {}): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const ask = async (...given: Asked): Promise<never> => {
    asked.push(given);
    return (await answer(...given)) as never;
  };
  const requests: Requests = {
    reserve: (pool, request, isWanted) => ask('reserve', pool, request, isWanted),
    renew: (refs) => ask('renew', refs),
    release: (refs) => ask('release', refs),
    cancel: (request) => ask('cancel', request),
  };
  const tokens = [{ role: 'write', token: WRITE } as const, { role: 'read', token: READ } as const];
  const unused = () => {
    throw new Error('nothing is read in this test');
  };
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    version: '0.0.0',
    logger: silentLogger,
    access: { tokens, areMetricsOpen: false, isOpen: false },
    isReady: () => true,
    metrics: { contentType: 'text/plain', text: () => Promise.resolve('') },
    view: {
      status: unused,
      pools: unused,
      hosts: unused,
      slots: unused,
      orgs: unused,
      intents: unused,
      explain: unused,
      reservations: unused,
    },
    requests,
    ...changes,
  });
  open.push(server);
  return { url: server.address, asked };
}

async function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${WRITE}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, retryAfter: response.headers.get('retry-after'), body: await response.json() };
}

test('what is posted is asked as on the public subjects, and answered as there', async () => {
  const { url, asked } = await serve((what) => (what === 'reserve' ? granted : { ok: true }));
  expect(await post(`${url}/v1/reservations`, { pool: 'duckdb', org: 'acme', waitMs: 5 })).toEqual({
    status: 200,
    retryAfter: null,
    body: granted,
  });
  for (const what of ['renew', 'release', 'cancel']) {
    expect(await post(`${url}/v1/reservations/${what}`, { id: what })).toMatchObject({ status: 200, body: { ok: true } });
  }
  expect(asked).toEqual([
    ['reserve', 'duckdb', { org: 'acme', waitMs: 5 }, expect.any(Function)],
    ['renew', { id: 'renew' }],
    ['release', { id: 'release' }],
    ['cancel', { id: 'cancel' }],
  ]);
});

test.each([
  ['warm-capacity-exhausted', 503],
  ['org-cap', 429],
  ['pool-unknown', 404],
  ['activation-failed', 502],
])('the miss %s is %i, and says when to ask again', async (reason, status) => {
  const answer = { ok: false, miss: { reason, retryAfterMs: 1_200 } };
  const { url } = await serve(() => answer);
  expect(await post(`${url}/v1/reservations`, { pool: 'duckdb', org: 'acme' })).toEqual({ status, retryAfter: '2', body: answer });
});

test('an error has the status of its code', async () => {
  const { url } = await serve((what) => {
    if (what === 'renew') throw new MusterError('timeout', 'no answer in 5000 ms');
    return { ok: false, error: { code: 'ended', message: 'the request has ended: released' } };
  });
  expect((await post(`${url}/v1/reservations`, { pool: 'duckdb', org: 'acme' })).status).toBe(410);
  expect(await post(`${url}/v1/reservations/renew`, {})).toMatchObject({ status: 504, body: { error: { code: 'timeout' } } });
});

test('what cannot be read is refused before anybody is asked', async () => {
  const { url, asked } = await serve(() => granted);
  const path = `${url}/v1/reservations`;
  expect(await post(path, '{"pool":')).toMatchObject({ status: 400, body: { error: { code: 'bad-request' } } });
  expect(await post(path, [])).toMatchObject({ status: 400, body: { error: { code: 'bad-request' } } });
  expect(await post(path, { org: 'acme' })).toMatchObject({ status: 400, body: { error: { field: 'pool' } } });
  expect(await post(path, {}, { 'content-type': 'text/plain' })).toMatchObject({ status: 400, body: { error: { field: 'Content-Type' } } });
  expect((await post(`${path}?pool=duckdb`, { org: 'acme' })).status).toBe(400);
  expect((await post(path, 'x'.repeat(70_000))).status).toBe(413);
  expect(asked).toEqual([]);
});

test('R1: only a token for writing reserves, and where there are no tokens nobody does', async () => {
  const { url, asked } = await serve(() => granted);
  const request = { pool: 'duckdb', org: 'acme' };
  expect((await post(`${url}/v1/reservations`, request, { authorization: `Bearer ${READ}` })).status).toBe(403);
  expect((await post(`${url}/v1/reservations`, request, { authorization: 'Bearer nothing' })).status).toBe(401);
  for (const isOpen of [false, true]) {
    const without = await serve(() => granted, { access: { tokens: [], areMetricsOpen: false, isOpen } });
    expect(await post(`${without.url}/v1/reservations`, request)).toMatchObject({ status: 403, body: { error: { code: 'unauthorized' } } });
    expect(without.asked).toEqual([]);
  }
  expect(asked).toEqual([]);
});

test('a replica that is not ready sends elsewhere: it would take a pool that it has not read of for none', async () => {
  const { url, asked } = await serve(() => granted, { isReady: () => false });
  expect((await post(`${url}/v1/reservations`, { pool: 'duckdb', org: 'acme' })).status).toBe(503);
  expect(asked).toEqual([]);
});

test('another method is told which there are', async () => {
  const { url } = await serve(() => granted);
  const allowed = async (path: string) =>
    (await fetch(url + path, { method: 'PUT', headers: { authorization: `Bearer ${WRITE}` } })).headers.get('allow');
  expect(await allowed('/v1/reservations')).toBe('GET, HEAD, POST');
  expect(await allowed('/v1/reservations/release')).toBe('POST');
  expect(await allowed('/v1/slots')).toBe('GET, HEAD');
});

test('R2: a request whose sender has gone is not wanted any more', async () => {
  const begun = Promise.withResolvers<() => boolean>();
  const { url } = await serve((_what, _pool, _request, isWanted) => {
    begun.resolve(isWanted as () => boolean);
    return new Promise(() => undefined);
  });
  const headers = { authorization: `Bearer ${WRITE}`, 'content-type': 'application/json' };
  const sent = httpRequest(`${url}/v1/reservations`, { method: 'POST', headers });
  sent.on('error', () => undefined);
  sent.end(JSON.stringify({ pool: 'duckdb', org: 'acme', waitMs: 60_000 }));
  const isWanted = await begun.promise;
  expect(isWanted()).toBe(true);
  sent.destroy();
  while (isWanted()) await new Promise((resolve) => setImmediate(resolve));
});
