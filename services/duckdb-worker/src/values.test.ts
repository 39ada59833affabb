import { afterAll, beforeAll, expect, test } from 'vitest';
import { serving } from '../test/serving.ts';

let worker: Awaited<ReturnType<typeof serving>>;
beforeAll(async () => {
  worker = await serving();
  await worker.tenancy.open('acme', 'values');
});
afterAll(() => worker[Symbol.asyncDispose]());

test.each([
  ['true', 'BOOLEAN', true],
  ['NULL::VARCHAR', 'VARCHAR', null],
  ['42', 'INTEGER', 42],
  ['9007199254740993', 'BIGINT', '9007199254740993'],
  ['18446744073709551615::UBIGINT', 'UBIGINT', '18446744073709551615'],
  ['170141183460469231731687303715884105727::HUGEINT', 'HUGEINT', '170141183460469231731687303715884105727'],
  ["'123456789012345678901234567890123456789012345678901234567890'::BIGNUM", 'BIGNUM', `${'1234567890'.repeat(6)}`],
  ['123456789012345678.90::DECIMAL(20,2)', 'DECIMAL(20,2)', '123456789012345678.90'],
  ['-0.05::DECIMAL(4,2)', 'DECIMAL(4,2)', '-0.05'],
  ['0.1::DOUBLE', 'DOUBLE', 0.1],
  ['0.1::FLOAT', 'FLOAT', Math.fround(0.1)],
  ["'nan'::DOUBLE", 'DOUBLE', 'NaN'],
  ["'-infinity'::DOUBLE", 'DOUBLE', '-Infinity'],
  [`'a"b' || chr(0) || 'ü😀'`, 'VARCHAR', 'a"b\0ü😀'],
  ["'\\x00\\xFFab'::BLOB", 'BLOB', Buffer.from([0, 255, 97, 98]).toString('base64')],
  ["'10110'::BIT", 'BIT', '10110'],
  ["'00112233-4455-6677-8899-aabbccddeeff'::UUID", 'UUID', '00112233-4455-6677-8899-aabbccddeeff'],
  ["DATE '2024-02-29'", 'DATE', '2024-02-29'],
  ["DATE '0044-03-15 (BC)'", 'DATE', '-000043-03-15'],
  ["DATE '5881580-07-10'", 'DATE', '+5881580-07-10'],
  ["DATE '5877642-06-25 (BC)'", 'DATE', '-5877641-06-25'],
  ["'-infinity'::DATE", 'DATE', '-infinity'],
  ["TIME '24:00:00'", 'TIME', '24:00:00'],
  ["TIME '01:02:03.000004'", 'TIME', '01:02:03.000004'],
  ["'01:02:03.000000004'::TIME_NS", 'TIME_NS', '01:02:03.000000004'],
  ["'12:00:00-05:30'::TIMETZ", 'TIME WITH TIME ZONE', '12:00:00-05:30'],
  ["TIMESTAMP '1969-12-31 23:59:59.999999'", 'TIMESTAMP', '1969-12-31T23:59:59.999999'],
  ["TIMESTAMPTZ '2024-06-01 00:30:00+02'", 'TIMESTAMP WITH TIME ZONE', '2024-05-31T22:30:00Z'],
  ["'2024-01-01 00:00:00.123456789'::TIMESTAMP_NS", 'TIMESTAMP_NS', '2024-01-01T00:00:00.123456789'],
  ["'1900-01-01 00:00:00.5'::TIMESTAMP_MS", 'TIMESTAMP_MS', '1900-01-01T00:00:00.5'],
  ["'2024-01-01 00:00:07'::TIMESTAMP_S", 'TIMESTAMP_S', '2024-01-01T00:00:07'],
  ["'infinity'::TIMESTAMP", 'TIMESTAMP', 'infinity'],
  ["INTERVAL '14 months 3 days 2.5 seconds'", 'INTERVAL', '1 year 2 months 3 days 00:00:02.5'],
  ["'b'::ENUM('a', 'b')", "ENUM('a', 'b')", 'b'],
  ['\'{"a": 1}\'::JSON', 'JSON', '{"a": 1}'],
  ['[1, NULL, 3]', 'INTEGER[]', [1, null, 3]],
  ['[[9007199254740993], []]', 'BIGINT[][]', [['9007199254740993'], []]],
  ['[1.5, 2.5]::DOUBLE[2]', 'DOUBLE[2]', [1.5, 2.5]],
  ["{'a': 1, 'b c': {'d': DATE '2024-01-01'}}", 'STRUCT("a" INTEGER, "b c" STRUCT("d" DATE))', { a: 1, 'b c': { d: '2024-01-01' } }],
  ["MAP {1: 'one', 2: NULL}", 'MAP(INTEGER, VARCHAR)', [{ key: 1, value: 'one' }, { key: 2, value: null }]], // biome-ignore format: one line a case
  ["union_value(num := 2::BIGINT)", 'UNION("num" BIGINT)', { tag: 'num', value: '2' }], // biome-ignore format: one line a case
  ["{'a': [1.10::DECIMAL(4,2)]}::VARIANT", 'VARIANT', { a: ['1.10'] }],
])('%s keeps its type %s and its value', async (expression, type, value) => {
  const { status, body } = await worker.query(`SELECT ${expression} AS v`);
  expect({ status, ...body }).toEqual({ status: 200, columns: [{ name: 'v', type }], rows: [[value]], rowCount: 1, ok: true });
});

test('a struct whose fields have no names is refused rather than sent without some of them', async () => {
  const { status, body } = await worker.query('SELECT [row(1, 2)] AS v');
  expect([status, body['error']]).toMatchObject([400, { code: 'bad-request', message: expect.stringContaining('column v') }]);
});

test('a statement that is kept has no parameters of the last time', async () => {
  expect((await worker.query('SELECT ? AS kept', [1])).body).toMatchObject({ rows: [[1]] });
  expect((await worker.query('SELECT ? AS kept', ['a'])).body).toMatchObject({ rows: [['a']] });
  expect((await worker.query('SELECT ? AS kept')).body).toMatchObject({ error: { field: 'params' } });
});

test('columns of the same name are all there', async () => {
  expect((await worker.query('SELECT 1 AS a, 2 AS a')).body).toMatchObject({ columns: [{ name: 'a' }, { name: 'a' }], rows: [[1, 2]] });
});

test.each([
  ['SELECT ?::BIGINT + 1', '[9007199254740993]', [['9007199254740994']]],
  ['SELECT ?', '[170141183460469231731687303715884105727]', [['170141183460469231731687303715884105727']]],
  ['SELECT ?::DECIMAL(20,2)', '["123456789012345678.90"]', [['123456789012345678.90']]],
  ['SELECT $b, $A', '{"a": "x\\u0000y", "b": true}', [[true, 'x\0y']]],
  ['SELECT $2, $1, $2', '[1, 2.5]', [[2.5, 1, 2.5]]],
  ['SELECT * FROM (VALUES (1), (2), (NULL)) t(i) WHERE i IS NOT DISTINCT FROM ?', '[null]', [[null]]],
  ['SELECT sum(u) FROM unnest(?) t(u)', '[[1, 2.5, null]]', [[3.5]]],
  ['SELECT ?', '[{"a": {"b": [1, 12345678901]}}]', [[{ a: { b: ['1', '12345678901'] } }]]],
  ['SELECT from_base64(?)', '["AP8="]', [['AP8=']]],
  ['SELECT ?', '[[]]', [[[]]]],
])('%s takes %s', async (sql, params, rows) => {
  const response = await worker.fetchQuery(`{"sql": ${JSON.stringify(sql)}, "params": ${params}}`);
  expect(await response.json()).toMatchObject({ rows });
});

test.each([
  ['SELECT ?', '[1, 2]', 'params'],
  ['SELECT ?', '[]', 'params'],
  ['SELECT $a', '{"b": 1}', 'params.b'],
  ['SELECT ?', '[[1, "a"]]', 'params.0'],
  ['SELECT ?', `[${'9'.repeat(40)}]`, 'params.0'],
  ['SELECT ?', '[{}]', 'params.0'],
  ['SELECT ?', `[${'['.repeat(40)}${']'.repeat(40)}]`, `params.0${'.0'.repeat(32)}`],
  ['SELECT 1; SELECT ?', '[1]', 'params'],
  ['SELECT 1', '7', 'params'],
])('%s with %s is refused with the field', async (sql, params, field) => {
  const response = await worker.fetchQuery(`{"sql": ${JSON.stringify(sql)}, "params": ${params}}`);
  expect([response.status, await response.json()]).toMatchObject([400, { error: { code: 'bad-request', field } }]);
});
