import { request } from 'node:http';
import { expect, test, vi } from 'vitest';
import { PATIENT, serving, TOKEN } from '../test/serving.ts';

// Real statements run here, on a machine that may be busy.
vi.setConfig({ testTimeout: 30_000 });

const ENDLESS = 'SELECT count(*) FROM range(10000000000) a, range(1000) b';

test('is neutral until it is somebody’s, and again afterwards', async () => {
  await using worker = await serving();
  expect(await worker.health()).toMatchObject({ ok: true, state: 'neutral' });
  expect(await worker.query('SELECT 1')).toMatchObject({ status: 409, body: { ok: false, error: { code: 'not-active' } } });
  await worker.tenancy.open('acme', 'sales');
  expect(await worker.health()).toMatchObject({ state: 'active' });
  expect(await worker.query('SELECT 1 AS a')).toEqual({
    status: 200,
    body: { columns: [{ name: 'a', type: 'INTEGER' }], rows: [[1]], rowCount: 1, ok: true },
  });
  await worker.tenancy.close();
  expect(await worker.query('SELECT 1')).toMatchObject({ status: 409 });
  await worker.tenancy.drain(0);
  expect(await worker.query('SELECT 1')).toMatchObject({ status: 503, body: { error: { code: 'shutting-down' } } });
  expect(await worker.health()).toMatchObject({ ok: true, state: 'draining' });
});

test.each([undefined, 'Bearer', 'Bearer ', 'Bearer wrong', `Basic ${TOKEN}`, TOKEN, `Bearer ${TOKEN}x`, `Bearer ${TOKEN} x`])(
  'wants the token of the reservation, not %j, and does not look at the statement without it',
  async (authorization) => {
    await using worker = await serving();
    await worker.tenancy.open('acme', 'sales');
    const response = await worker.fetchQuery('{not json', { headers: authorization === undefined ? {} : { authorization } });
    expect([response.status, await response.json()]).toMatchObject([401, { error: { code: 'unauthorized' } }]);
  },
);

test('answers 400 with what DuckDB says of a bad statement, and goes on', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const cases = [
    ['SELEC 1', 'Parser Error: syntax error at or near "SELEC"'],
    ['SELECT * FROM nowhere', 'Catalog Error: Table with name nowhere does not exist!'],
    ["SELECT 'a'::INTEGER", "Conversion Error: Could not convert string 'a' to INT32"],
    ["SELECT error('mine')", 'Invalid Input Error: mine'],
    ['  ;-- nothing', 'there is no statement'],
    ['SELECT 1; SELECT * FROM nowhere', 'Catalog Error: Table with name nowhere does not exist!'],
  ];
  for (const [sql = '', message] of cases) {
    const { status, body } = await worker.query(sql);
    expect([sql, status, body['error']]).toMatchObject([sql, 400, { code: 'sql-error', message: expect.stringContaining(message ?? '') }]);
  }
  expect((await worker.query('SELECT 1')).status).toBe(200);
});

test.each([
  ['{not json', 'the body is not JSON', undefined],
  ['[]', 'must be a map, not a list', ''],
  ['{}', 'sql: ', 'sql'],
  ['{"sql": 1}', 'sql: ', 'sql'],
  ['{"sql": ""}', 'sql: ', 'sql'],
  ['{"sql": "SELECT 1\\u0000"}', 'sql: may not have the character NUL', 'sql'],
  ['{"sql": "SELECT 1", "timeoutMs": 0}', 'timeoutMs: ', 'timeoutMs'],
  ['{"sql": "SELECT 1", "parms": []}', 'parms: is not a known field', 'parms'],
])('refuses the body %s', async (body, message, field) => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const response = await worker.fetchQuery(body);
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  expect([response.status, error['code'], error['field']]).toEqual([400, 'bad-request', field]);
  expect(error['message']).toContain(message);
});

test('refuses a body over the limit, announced or not, and other paths and methods', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const large = JSON.stringify({ sql: `SELECT '${'x'.repeat(70_000)}'` });
  expect((await worker.fetchQuery(large)).status).toBe(413);
  const unannounced = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(large));
      controller.close();
    },
  });
  expect((await worker.fetchQuery('', { body: unannounced, duplex: 'half' })).status).toBe(413);
  expect((await worker.fetchQuery('', { method: 'GET', body: null })).status).toBe(405);
  expect((await fetch(`${worker.server.endpoint}/`)).status).toBe(404);
  expect((await worker.query('SELECT 1')).status).toBe(200);
});

test('says how many rows a statement changed, and answers for the last of several', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  expect((await worker.query('CREATE TABLE t(i INTEGER)')).body).toEqual({ columns: [], rows: [], rowCount: 0, ok: true });
  expect((await worker.query('INSERT INTO t SELECT i FROM range(5) r(i)')).body).toMatchObject({ rows: [], rowsChanged: 5 });
  expect((await worker.query('UPDATE t SET i = i + 1 WHERE i > ?', [2])).body).toMatchObject({ rowsChanged: 2 });
  expect((await worker.query('DELETE FROM t WHERE i > 3 RETURNING i')).body).toMatchObject({ rows: [[4], [5]] });
  expect((await worker.query('INSERT INTO t VALUES (9); SELECT count(*) FROM t')).body).toMatchObject({ rows: [['4']] });
});

test('streams a large result in pieces, complete', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const response = await worker.fetchQuery({ sql: "SELECT i, repeat('x', 20) FROM range(50000) r(i)" });
  expect(response.headers.get('content-length')).toBeNull();
  const body = (await response.json()) as { rows: string[][]; rowCount: number };
  expect(body.rowCount).toBe(50_000);
  expect(body.rows.map(([i]) => Number(i))).toEqual(Array.from({ length: 50_000 }, (_, i) => i));
});

test('what fails after the first rows were sent can be taken for no complete result', async () => {
  await using worker = await serving();
  await worker.tenancy.open('acme', 'sales');
  const sql = "SELECT CASE WHEN i = 90000 THEN error('boom') ELSE repeat('x', 200) END FROM range(100000) r(i)";
  const { status, text, isComplete } = await read(worker.server.endpoint, { sql });
  expect([status, isComplete]).toEqual([200, false]);
  expect(() => JSON.parse(text)).toThrow();
  expect(text.slice(-300)).toContain('"code":"sql-error","message":"the statement failed after');
});

test('a statement that takes too long is interrupted; the worker goes on', async () => {
  await using worker = await serving({ statementTimeoutMs: 60 });
  await worker.tenancy.open('acme', 'sales');
  expect(await worker.query(ENDLESS)).toMatchObject({ status: 504, body: { error: { code: 'timeout' } } });
  expect((await worker.query('SELECT 1')).status).toBe(200);
});

test('a caller may give a statement less time, and more has no effect', async () => {
  await using worker = await serving({ statementTimeoutMs: 60 });
  await worker.tenancy.open('acme', 'sales');
  expect((await worker.query(ENDLESS, undefined, { timeoutMs: 1 })).status).toBe(504);
  expect((await worker.query(ENDLESS, undefined, { timeoutMs: 1_000_000 })).status).toBe(504);
});

test('health is answered while every place is taken; what is beyond the queue is refused', async () => {
  await using worker = await serving({ limits: { runningMax: 1, waitingMax: 1 } });
  await worker.tenancy.open('acme', 'sales');
  const running = worker.query(ENDLESS);
  await expect.poll(worker.health, PATIENT).toMatchObject({ ok: true, running: 1, waiting: 0 });
  const waiting = worker.query('SELECT 1');
  await expect.poll(worker.health, PATIENT).toMatchObject({ running: 1, waiting: 1 });
  expect(await worker.query('SELECT 1')).toMatchObject({ status: 429, body: { error: { code: 'overloaded' } } });
  await worker.tenancy.close();
  expect([(await running).status, (await waiting).status]).toEqual([410, 410]);
});

test('a caller that hangs up ends its statement', async () => {
  await using worker = await serving({ limits: { runningMax: 1, waitingMax: 1 } });
  await worker.tenancy.open('acme', 'sales');
  const hangUp = new AbortController();
  const running = worker.fetchQuery({ sql: ENDLESS }, { signal: hangUp.signal }).catch(() => undefined);
  await expect.poll(worker.health, PATIENT).toMatchObject({ running: 1 });
  hangUp.abort();
  await running;
  await expect.poll(worker.health, PATIENT).toMatchObject({ running: 0 });
});

test('a caller that does not read stops the reading of the result, and loses its place in time', async () => {
  await using worker = await serving({ statementTimeoutMs: 1_000, limits: { runningMax: 1, waitingMax: 1 } });
  await worker.tenancy.open('acme', 'sales');
  const before = process.memoryUsage().rss;
  const stalled = worker.fetchQuery({ sql: "SELECT repeat('x', 1000) FROM range(100000000)" });
  const response = await stalled;
  expect(response.status).toBe(200);
  await expect.poll(worker.health, PATIENT).toMatchObject({ running: 0 });
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20);
  await expect(response.text()).rejects.toThrow();
});

test('a token that ends while the body comes in is worth nothing', async () => {
  let isHolder = true;
  let asked = 0;
  await using worker = await serving({
    isHolder: () => {
      asked += 1;
      return isHolder;
    },
  });
  await worker.tenancy.open('acme', 'sales');
  const slowBody = new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode('{"sql": '));
      await expect.poll(() => asked, PATIENT).toBe(1);
      isHolder = false;
      controller.enqueue(new TextEncoder().encode('"SELECT 1"}'));
      controller.close();
    },
  });
  expect((await worker.fetchQuery('', { body: slowBody, duplex: 'half' })).status).toBe(410);
});

/** With node:http, which tells a body that was cut from one that ended. */
function read(endpoint: string, body: unknown): Promise<{ status: number | undefined; text: string; isComplete: boolean }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; text: string; isComplete: boolean }>();
  const sent = request(`${endpoint}/query`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text += part;
    });
    response.on('error', () => undefined);
    response.on('close', () => resolve({ status: response.statusCode, text, isComplete: response.complete }));
  });
  sent.on('error', reject);
  sent.end(JSON.stringify(body));
  return promise;
}
