import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { type KubernetesDouble, startKubernetesDouble } from './double.ts';
import type { WatchFault } from './faults.ts';
import { listAt, stringAt } from './object.ts';
import { ApiClient, type WatchEvent } from './simulated/api-client.ts';

const PODS = '/api/v1/namespaces/pool/pods';
const SPEC = { containers: [{ name: 'worker', image: 'worker:1' }] };

let double: KubernetesDouble;
let client: ApiClient;

beforeEach(async () => {
  double = await startKubernetesDouble({ namespaces: ['pool'] });
  client = new ApiClient(double.access());
});

afterEach(async () => {
  client.close();
  await double[Symbol.asyncDispose]();
});

const create = (name: string) => client.request('POST', PODS, { body: { metadata: { name }, spec: SPEC } });

test('a refusal strikes as often as it was ordered, and only what it was ordered for', async () => {
  const fault = double.faults.add({ verbs: ['create'], resource: 'pods' }, { kind: 'refuse', status: 429, retryAfterSeconds: 7 }, 2);
  const refused = await create('a');
  expect([refused.status, refused.headers['retry-after'], refused.body]).toEqual([
    429,
    '7',
    'Too many requests, please try again later.\n',
  ]);
  expect((await client.request('GET', PODS)).status).toBe(200);
  expect((await create('a')).status).toBe(429);
  expect((await create('a')).status).toBe(201);
  expect(fault.hits).toBe(2);
});

test('a refusal other than 429 is a Status', async () => {
  double.faults.add({}, { kind: 'refuse', status: 503, message: 'no leader' }, 1);
  expect((await create('a')).body).toMatchObject({ kind: 'Status', code: 503, reason: 'ServiceUnavailable', message: 'no leader' });
});

test('an answer that is lost was a write; a request that is dropped was none', async () => {
  double.faults.add({ verbs: ['create'], name: '' }, { kind: 'lose-answer' }, 1);
  await expect(create('lost')).rejects.toThrow();
  expect(double.find('pods', 'pool', 'lost')).toBeDefined();
  double.faults.add({ verbs: ['create'] }, { kind: 'drop' }, 1);
  await expect(create('dropped')).rejects.toThrow();
  expect(double.find('pods', 'pool', 'dropped')).toBeUndefined();
  expect((await create('dropped')).status).toBe(201);
});

test('what hangs has not happened; what is answered late has', async () => {
  double.faults.add({ verbs: ['create'] }, { kind: 'hang' }, 1);
  let isAnswered = false;
  create('hung').then(
    () => (isAnswered = true),
    () => undefined,
  );
  await eventually(() => double.requests.some(({ verb, status }) => verb === 'create' && status === 0));
  expect([double.find('pods', 'pool', 'hung'), isAnswered]).toEqual([undefined, false]);
  double.faults.add({ verbs: ['create'] }, { kind: 'delay-answer', ms: 50 }, 1);
  const late = create('late');
  await eventually(() => double.find('pods', 'pool', 'late') !== undefined);
  expect((await late).status).toBe(201);
});

test('a stale list shows what was', async () => {
  await create('a');
  const revision = double.revision;
  await create('b');
  const fault = double.faults.add({ verbs: ['list'] }, { kind: 'stale', revision });
  const names = async () => listAt((await client.request('GET', PODS)).body, 'items').map((one) => stringAt(one, 'metadata', 'name'));
  expect(await names()).toEqual(['a']);
  fault.remove();
  expect(await names()).toEqual(['a', 'b']);
});

test.each<[WatchFault, readonly string[], string]>([
  ['end', ['ADDED a'], 'in order'],
  ['cut', ['ADDED a'], 'broken'],
  ['break', ['ADDED a'], 'broken'],
  ['garbage', ['ADDED a'], 'broken'],
  ['expire', ['ADDED a', 'ERROR'], 'in order'],
  ['hang', ['ADDED a'], 'open'],
])('a watch that is to %s after one event', async (fate, expected, end) => {
  double.faults.add({ verbs: ['watch'] }, { kind: 'watch', afterEvents: 1, fate }, 1);
  const events: WatchEvent[] = [];
  let seenEnd = 'open';
  const stop = await client.watch(`${PODS}?watch=true&resourceVersion=${double.revision}`, {
    onEvent: (event) => events.push(event),
    onEnd: (error) => (seenEnd = error === undefined ? 'in order' : 'broken'),
  });
  await create('a');
  await create('b');
  await eventually(() => {
    expect(events.map(({ type, object }) => `${type} ${stringAt(object, 'metadata', 'name') ?? ''}`.trim())).toEqual(expected);
    expect(seenEnd).toBe(end);
  });
  // The next watch is a good one.
  const later: WatchEvent[] = [];
  const stopLater = await client.watch(`${PODS}?watch=true`, { onEvent: (event) => later.push(event), onEnd: () => {} });
  await eventually(() => expect(later).toHaveLength(2));
  expect(events, 'nothing more came').toHaveLength(expected.length);
  stopLater();
  stop();
});

test('a garbled line does not end the watch for a client that reads on', async () => {
  double.faults.add({ verbs: ['watch'] }, { kind: 'watch', afterEvents: 0, fate: 'garbage' }, 1);
  const response = await fetch(`${double.url}${PODS}?watch=true&resourceVersion=${double.revision}&timeoutSeconds=1`, {
    headers: { authorization: `Bearer ${double.adminToken}` },
  });
  await create('a');
  const lines = (await response.text()).trim().split('\n');
  expect(() => JSON.parse(lines[0] ?? '') as unknown).toThrow();
  expect(JSON.parse(lines[1] ?? '')).toMatchObject({ type: 'ADDED' });
});

test('a server that went away comes back on its port with all that it had', async () => {
  await create('a');
  const ended = Promise.withResolvers<Error | undefined>();
  await client.watch(`${PODS}?watch=true`, { onEvent: () => {}, onEnd: ended.resolve });
  const { url } = double;
  await double.stop();
  expect(await ended.promise, 'its watches break').toBeDefined();
  await expect(client.request('GET', PODS)).rejects.toThrow('ECONNREFUSED');
  await double.start();
  expect(double.url).toBe(url);
  expect(listAt((await client.request('GET', PODS)).body, 'items')).toHaveLength(1);
});

test('the log is bounded, and what fell off it is expired', async () => {
  await using small = await startKubernetesDouble({ namespaces: ['pool'], historyMax: 10 });
  const first = small.revision;
  for (let write = 0; write < 50; write++)
    small.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: 'pool' }, data: { write: String(write) } });
  const other = new ApiClient(small.access());
  const events: WatchEvent[] = [];
  await other.watch(`${PODS}?watch=true&resourceVersion=${first}`, { onEvent: (event) => events.push(event), onEnd: () => {} });
  await eventually(() => expect(events[0]).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } }));
  other.close();
});
