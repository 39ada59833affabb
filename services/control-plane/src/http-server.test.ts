import { request } from 'node:http';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { MemoryLogger } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { afterEach, expect, test } from 'vitest';
import { type HttpOptions, type HttpServer, serveHttp } from './http-server.ts';

const open: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

interface Asked {
  readonly slots: unknown[];
}

async function serve(changes: Partial<HttpOptions> = {}): Promise<{ url: string; server: HttpServer; asked: Asked; logger: MemoryLogger }> {
  const asked: Asked = { slots: [] };
  const logger = new MemoryLogger();
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    version: '0.0.0',
    logger,
    access: { tokens: [], areMetricsOpen: false, isOpen: false },
    isReady: () => true,
    metrics: { contentType: 'text/plain; version=0.0.4', text: () => Promise.resolve('muster_slots 1\n') },
    view: {
      status: () => ({ ok: true, cluster: 'demo', replica: 'r1', version: '1', configVersion: 1, replicas: [], shards: [], pools: [] }),
      pools: () => ({ ok: true, pools: [] }),
      hosts: () => ({ ok: true, hosts: [] }),
      slots: (filter) => {
        asked.slots.push(filter);
        return { ok: true, slots: [], page: filter.page, hasMore: false };
      },
      orgs: (page) => ({ ok: true, orgs: [], page, hasMore: false }),
      intents: () => ({ ok: true, intents: [] }),
      reservations: ({ page }) => ({ ok: true, reservations: [], page, hasMore: false }),
      explain: ({ of, org }) => {
        if (of !== 'duckdb') throw new MusterError('not-found', `there is no ${of}`, { field: 'of' });
        return { ok: true, of, kind: 'pool', says: [`org ${org}`] };
      },
    },
    requests: {
      reserve: () => Promise.reject(new Error('nothing is reserved in this test')),
      renew: () => Promise.reject(new Error('nothing is renewed in this test')),
      release: () => Promise.reject(new Error('nothing is released in this test')),
      cancel: () => Promise.reject(new Error('nothing is cancelled in this test')),
    },
    ...changes,
  });
  open.push(server);
  return { url: server.address, server, asked, logger };
}

async function get(url: string, init?: RequestInit): Promise<{ status: number; headers: Headers; body: unknown }> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text.startsWith('{') ? JSON.parse(text) : text };
}

/** What `fetch` would not send. */
function raw(url: string, path: string): Promise<number> {
  return rawWith(url, path, {});
}

function rawWith(url: string, path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end();
  });
}

test.each(['status', 'pools', 'hosts', 'slots', 'orgs', 'intents', 'reservations'])('/v1/%s answers JSON from the view', async (name) => {
  const { url } = await serve();
  const { status, headers, body } = await get(`${url}/v1/${name}`);
  expect(status).toBe(200);
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(body).toMatchObject({ ok: true });
});

test('filters and pages go to the view, checked', async () => {
  const { url, asked } = await serve();
  await get(`${url}/v1/slots?pool=duckdb&state=warm&page=2`);
  expect(asked.slots).toEqual([{ type: 'slots', pool: 'duckdb', state: 'warm', page: 2 }]);
});

test.each([
  ['/v1/slots?page=x', 'page'],
  ['/v1/slots?page=-1', 'page'],
  ['/v1/slots?state=tired', 'state'],
  ['/v1/slots?colour=red', 'colour'],
  ['/v1/slots?type=status', 'type'],
  ['/v1/slots?page=1&page=2', 'page'],
  ['/v1/status?pool=duckdb', 'pool'],
  ['/v1/intents?limit=100000', 'limit'],
])('%s is refused, and names %s', async (path, field) => {
  const { url, asked } = await serve();
  const { status, body } = await get(url + path);
  expect(status).toBe(400);
  expect(body).toMatchObject({ ok: false, error: { code: 'bad-request', field } });
  expect(asked.slots).toEqual([]);
});

test('what is not there is 404, what is no read is 405, what is no URL is 400, and none of it is a defect', async () => {
  const { url, logger } = await serve();
  expect(await get(`${url}/v2/slots`)).toMatchObject({ status: 404, body: { ok: false, error: { code: 'not-found' } } });
  const posted = await get(`${url}/v1/slots`, { method: 'POST', body: '{}' });
  expect(posted).toMatchObject({ status: 405, body: { ok: false } });
  expect(posted.headers.get('allow')).toBe('GET, HEAD');
  expect(await raw(url, '//')).toBe(400);
  expect(await raw(url, `/v1/slots?org=${'x'.repeat(3_000)}`)).toBe(400);
  expect(await raw(url, `/${'x'.repeat(20_000)}`)).toBe(431);
  expect(logger.lines).toEqual([]);
});

test('a HEAD has the headers of the GET and no body', async () => {
  const { url } = await serve();
  const head = await get(`${url}/v1/status`, { method: 'HEAD' });
  const full = await get(`${url}/v1/status`);
  expect(head.body).toBe('');
  expect(head.headers.get('content-length')).toBe(full.headers.get('content-length'));
});

test('H1: it is alive whatever the cluster does, and ready only when it may be asked', async () => {
  let isReady = false;
  const broken = () => {
    throw new MusterError('disconnected', 'no NATS');
  };
  const { url } = await serve({
    isReady: () => isReady,
    view: {
      status: broken,
      pools: broken,
      hosts: broken,
      slots: broken,
      orgs: broken,
      intents: broken,
      explain: broken,
      reservations: broken,
    },
  });
  expect((await get(`${url}/healthz`)).status).toBe(200);
  expect(await get(`${url}/readyz`)).toMatchObject({ status: 503, body: { ok: false, error: { code: 'disconnected' } } });
  expect((await get(`${url}/v1/status`)).status).toBe(503);
  isReady = true;
  expect((await get(`${url}/readyz`)).status).toBe(200);
});

test('what is to be explained is named by the path', async () => {
  const { url } = await serve();
  const said = { ok: true, of: 'duckdb', kind: 'pool', says: ['org acme'] };
  expect(await get(`${url}/v1/explain/duckdb?org=acme`)).toMatchObject({ status: 200, body: said });
  expect(await get(`${url}/v1/explain/nowhere`)).toMatchObject({ status: 404, body: { error: { code: 'not-found', field: 'of' } } });
  for (const path of ['/v1/explain/', '/v1/explain/a.b', '/v1/explain/a/b', '/v1/explain/duckdb?of=other']) {
    expect(await get(url + path)).toMatchObject({ status: 400, body: { error: { code: 'bad-request', field: 'of' } } });
  }
});

test('metrics come as Prometheus wants them', async () => {
  const { url } = await serve();
  const { headers, body } = await get(`${url}/metrics`);
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4');
  expect(body).toBe('muster_slots 1\n');
});

test('a defect is 500, says nothing of itself, and is logged', async () => {
  const { url, logger } = await serve({ metrics: { contentType: 'x', text: () => Promise.reject(new Error('secret')) } });
  const { status, body } = await get(`${url}/metrics`);
  expect(status).toBe(500);
  expect(JSON.stringify(body)).not.toContain('secret');
  expect(logger.lines).toMatchObject([{ level: 'error', fields: { error: 'Error: secret', path: '/metrics' } }]);
});

test('a stop answers what is under way, keeps no connection, and takes no more', async () => {
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<string>();
  const metrics = {
    contentType: 'text/plain',
    text: () => {
      onAsked();
      return released;
    },
  };
  const { url, server } = await serve({ metrics });
  const idle = connect(Number(new URL(url).port), '127.0.0.1');
  const idleEnds = new Promise<void>((resolve) => idle.on('close', () => resolve()));
  idle.resume();
  const answer = get(`${url}/metrics`);
  await asked;
  const closed = server.close();
  release('late');
  expect(await answer).toMatchObject({ status: 200, body: 'late' });
  await closed;
  await idleEnds;
  await expect(fetch(`${url}/healthz`)).rejects.toThrow();
});

const TOKENS = [
  { role: 'read', token: 'a-token-for-reading' },
  { role: 'write', token: 'a-token-for-writing' },
] as const;
const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });

test('with tokens everything but health wants one, and says how', async () => {
  const { url } = await serve({ access: { tokens: TOKENS, areMetricsOpen: false, isOpen: false } });
  for (const path of ['/healthz', '/readyz']) expect((await get(`${url}${path}`)).status, path).toBe(200);
  for (const path of ['/v1/status', '/v1/slots', '/metrics', '/nothing']) {
    const { status, headers, body } = await get(`${url}${path}`);
    expect(status, path).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer');
    expect(body).toMatchObject({ ok: false, error: { code: 'unauthorized' } });
  }
  for (const wrong of ['a-token-for-readin', 'a-token-for-readingx', '']) {
    expect((await get(`${url}/v1/status`, bearer(wrong))).status, wrong).toBe(401);
  }
  expect((await get(`${url}/v1/status`, { headers: { authorization: 'Basic a-token-for-reading' } })).status).toBe(401);
  for (const { token } of TOKENS) {
    expect((await get(`${url}/v1/status`, bearer(token))).status).toBe(200);
    expect((await get(`${url}/metrics`, bearer(token))).status).toBe(200);
  }
});

test('a token for reading changes nothing, and metrics may be had without one where that was said', async () => {
  const { url } = await serve({ access: { tokens: TOKENS, areMetricsOpen: true, isOpen: false } });
  const post = async (token?: string) =>
    (await get(`${url}/v1/status`, { ...(token === undefined ? {} : bearer(token)), method: 'POST', body: '{}' })).status;
  expect(await post()).toBe(401);
  expect(await post('a-token-for-reading')).toBe(403);
  expect(await post('a-token-for-writing')).toBe(405);
  expect((await get(`${url}/metrics`)).status).toBe(200);
  expect((await get(`${url}/v1/status`)).status).toBe(401);
});

test('without tokens only who names this machine is answered, so that no page of somebody else can read along', async () => {
  const { url } = await serve();
  const ask = (host: string) => rawWith(url, '/v1/status', { host });
  expect(await ask('localhost:8080')).toBe(200);
  expect(await ask('[::1]:8080')).toBe(200);
  expect(await ask('evil.example')).toBe(403);
  expect(await ask('127.0.0.1.evil.example')).toBe(403);
  expect(await rawWith(url, '/healthz', { host: 'evil.example' })).toBe(200);
  const { url: everybodys } = await serve({ access: { tokens: [], areMetricsOpen: false, isOpen: true } });
  expect(await rawWith(everybodys, '/v1/status', { host: 'muster.example' })).toBe(200);
});

test('a body over the limit is refused, or cut off where its length was not said', async () => {
  const { url } = await serve();
  const { status, headers, body } = await get(`${url}/v1/status`, { method: 'POST', body: 'x'.repeat(65 * 1024) });
  expect(status).toBe(413);
  expect(headers.get('connection')).toBe('close');
  expect(body).toMatchObject({ error: { code: 'payload-too-large' } });
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write('POST /v1/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
  const chunk = `4000\r\n${'x'.repeat(16 * 1024)}\r\n`;
  const goOn = (): void => {
    while (socket.writable && socket.write(chunk));
  };
  socket.on('drain', goOn);
  const isCut = new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', resolve);
  });
  goOn();
  await isCut;
});

test('a defect shows nothing of the code', async () => {
  const { url } = await serve({
    metrics: { contentType: 'text/plain', text: () => Promise.reject(new Error('secret at services/control-plane/src/x.ts:1:1')) },
  });
  const { status, body } = await get(`${url}/metrics`);
  expect(status).toBe(500);
  expect(JSON.stringify(body)).not.toMatch(/secret|services|\.ts/);
});

test('listening everywhere, it is named by the machine, so that others find it', async () => {
  const { url } = await serve({ host: '0.0.0.0', access: { tokens: [], areMetricsOpen: false, isOpen: true } });
  expect(new URL(url).hostname).toBe(hostname().toLowerCase());
});
