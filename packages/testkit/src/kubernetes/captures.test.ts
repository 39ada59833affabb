// The recorded exchanges of a real API server, each asked of the double: it has to answer as recorded, in every field.
//
// The double is brought to the state that the server had: the same revisions, the same time, the same objects. What is not
// compared: managed fields (the double keeps none), and the uid of the flow schema. Uids are the double's own; wherever the
// server said one, the double has to say the one that it gave that object.
import { readdirSync, readFileSync } from 'node:fs';
import { ManualClock, type Random, SeededRandom } from '@muster/ports';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { type KubernetesDouble, startKubernetesDouble } from './double.ts';
import { isObject, type JsonObject, listAt, objectAt, stringAt } from './object.ts';
import { ApiClient, type ApiResponse, type WatchEvent } from './simulated/api-client.ts';

interface Exchange {
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly contentType?: string;
    readonly body?: unknown;
    readonly authenticated: boolean;
  };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly stream?: readonly unknown[];
  };
}

interface Capture extends Partial<Exchange> {
  readonly name: string;
  readonly exchanges?: readonly Exchange[];
  readonly watch?: Exchange;
}

const FOLDER = new URL('captures/', import.meta.url);
const CAPTURES: ReadonlyMap<string, Capture> = new Map(
  readdirSync(FOLDER).map((file) => [file.replace('.json', ''), JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Capture]),
);
/** Each is replayed by the test of its name; one that is in the folder and here not, or the other way round, fails. */
const REPLAYED = new Set<string>();

/** Chance that says what a test has ordered, and then goes on. */
class OrderedRandom implements Random {
  readonly #random = new SeededRandom(1);
  readonly ordered: number[] = [];

  next(): number {
    return this.ordered.shift() ?? this.#random.next();
  }

  id(length?: number): string {
    return this.#random.id(length);
  }
}

const clock = new ManualClock({ wallMs: Date.parse('2026-11-23T15:06:18Z') });
const random = new OrderedRandom();
const UNIQUE_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
/** By the uid that the server gave: the one that the double gave the same object. */
const uids = new Map<string, string>();

let double: KubernetesDouble;
let client: ApiClient;
let userToken: string;

beforeAll(async () => {
  double = await startKubernetesDouble({ clock, random, revision: 9300, namespaces: ['pool', 'tight'] });
  client = new ApiClient(double.access());
  userToken = double.addUser('user');
  double.apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q', namespace: 'tight' }, spec: { hard: { pods: '0' } } });
  othersWriteUntil(9374);
  double.compact();
});

afterAll(async () => {
  client.close();
  await double[Symbol.asyncDispose]();
});

/** Somebody else's writes, until that revision. */
function othersWriteUntil(revision: number): void {
  const other = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'other', namespace: 'kube-system' } };
  while (double.revision < revision) double.apply(other);
  expect(double.revision).toBe(revision);
}

/** It is this time now, as the server's clock said. */
function timeIs(timestamp: string): void {
  const lateMs = Date.parse(timestamp) - clock.wallMs();
  if (lateMs > 0) clock.jump(lateMs);
}

function captureOf(name: string): Capture {
  REPLAYED.add(name);
  const capture = CAPTURES.get(name);
  if (capture === undefined) throw new Error(`no capture is named ${name}`);
  return capture;
}

/** What was recorded, as it has to look here. */
function translate(recorded: unknown): unknown {
  let text = JSON.stringify(recorded);
  for (const [theirs, ours] of uids) text = text.replaceAll(theirs, ours);
  return withoutManagedFields(JSON.parse(text));
}

function withoutManagedFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutManagedFields);
  if (!isObject(value)) return value;
  const fields = Object.entries(value).filter(([field]) => field !== 'managedFields');
  return Object.fromEntries(fields.map(([field, one]) => [field, withoutManagedFields(one)]));
}

/** Remembers the uid of an object that the server and the double both made. */
function pair(recorded: unknown, actual: unknown): void {
  const theirs = stringAt(recorded, 'metadata', 'uid');
  const ours = stringAt(actual, 'metadata', 'uid');
  if (theirs !== undefined && ours !== undefined && !uids.has(theirs)) uids.set(theirs, ours);
}

async function ask({ request }: Exchange, token?: string): Promise<ApiResponse> {
  const { method, path, body, contentType, authenticated } = request;
  return client.request(method, path, {
    ...(body === undefined ? {} : { body: translate(body) }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(authenticated ? (token === undefined ? {} : { token }) : { token: '' }),
  });
}

/** Asks as recorded, and compares the whole answer. */
async function replay(exchange: Exchange, token?: string): Promise<void> {
  const { status, headers, body, stream } = exchange.response;
  if (stream !== undefined) {
    expect(await replayStream(exchange)).toEqual(stream.map(translate));
    return;
  }
  timeIs(stringAt(body, 'metadata', 'creationTimestamp') ?? '1970-01-01T00:00:00Z');
  const actual = await ask(exchange, token);
  pair(body, actual.body);
  expect({ status: actual.status, body: actual.body }).toEqual({ status, body: translate(body) });
  for (const name of ['content-type', 'retry-after']) expect(actual.headers[name], name).toBe(headers[name]);
}

/** The events of a watch that lasts until the double's clock has passed its time. */
async function replayStream({ request }: Exchange, meanwhile: () => Promise<void> = async () => {}): Promise<readonly unknown[]> {
  const events: WatchEvent[] = [];
  const ended = Promise.withResolvers<void>();
  await client.watch(request.path, {
    onEvent: (event) => events.push(event),
    onEnd: (error) => (error === undefined ? ended.resolve() : ended.reject(error)),
  });
  await meanwhile();
  const seconds = Number(new URLSearchParams(request.path.split('?')[1]).get('timeoutSeconds'));
  clock.advance(seconds * 1000);
  await ended.promise;
  return events;
}

/** Asks one exchange of the capture of this name. */
async function replayOne(name: string, token?: string): Promise<void> {
  const { request, response } = captureOf(name);
  if (request === undefined || response === undefined) throw new Error(`${name} is no single exchange`);
  await replay({ request, response }, token);
}

/** The pod of another recording, made here when the server made it. */
async function createRecorded(pod: unknown): Promise<void> {
  const name = stringAt(pod, 'metadata', 'name') ?? '';
  const request = objectAt(CAPTURES.get('pod-create')?.request?.body);
  const labels = { ...objectAt(request, 'metadata', 'labels'), 'example.dev/slot': name };
  const body = { ...request, metadata: { ...objectAt(request, 'metadata'), name, labels } };
  timeIs(stringAt(pod, 'metadata', 'creationTimestamp') ?? '');
  const created = await client.call('POST', '/api/v1/namespaces/pool/pods', { body });
  pair(pod, created);
}

function responseBody(name: string): JsonObject {
  return objectAt(CAPTURES.get(name)?.response?.body);
}

/** A status as the recording shows it, written as the scheduler and the kubelet write it. */
async function writeStatus(name: string, recording: string): Promise<void> {
  const { qosClass: _qosClass, ...status } = objectAt(responseBody(recording), 'status');
  const gone = Object.fromEntries(Object.keys(objectAt(double.find('pods', 'pool', name), 'status')).map((field) => [field, null]));
  const options = { body: { status: { ...gone, ...status } }, contentType: 'application/merge-patch+json' };
  await client.call('PATCH', `/api/v1/namespaces/pool/pods/${name}/status`, options);
}

// In the order in which the server met them: each goes on from where the one before ended.
describe('the double answers as a real API server did', () => {
  test.each(['version', 'unauthenticated'])('%s', async (name) => {
    await replayOne(name);
  });

  test('bad-token', async () => {
    await replayOne('bad-token', 'not-a-token');
  });

  test('pod-create', async () => {
    othersWriteUntil(9379);
    await replayOne('pod-create');
  });

  test('pod-create-generate-name', async () => {
    random.ordered.push(...Array.from('bwvgk', (letter) => (UNIQUE_ALPHABET.indexOf(letter) + 0.5) / UNIQUE_ALPHABET.length));
    await replayOne('pod-create-generate-name');
  });

  test.each([
    'pod-create-dry-run',
    'pod-create-exists',
    'pod-create-invalid',
    'pod-create-malformed',
    'pod-create-no-namespace',
    'pod-create-quota',
    'pod-get',
    'pod-get-absent',
  ])('%s', async (name) => {
    const before = double.revision;
    await replayOne(name);
    expect(double.revision).toBe(before);
  });

  test('pod-create-forbidden', async () => {
    await replayOne('pod-create-forbidden', userToken);
  });

  test('pod-list', async () => {
    othersWriteUntil(9387);
    const items = listAt(responseBody('pod-list'), 'items');
    for (const name of ['slot-b', 'slot-c', 'slot-d'])
      await createRecorded(items.find((one) => stringAt(one, 'metadata', 'name') === name));
    await replayOne('pod-list');
  });

  test('pod-list-paged', async () => {
    for (const exchange of captureOf('pod-list-paged').exchanges ?? []) await replay(exchange);
  });

  test('pod-lifecycle-watch', async () => {
    const { exchanges = [], watch } = captureOf('pod-lifecycle-watch');
    if (watch === undefined) throw new Error('it has no watch');
    const events = await replayStream(watch, async () => {
      for (const exchange of exchanges) await replay(exchange);
    });
    expect(events).toEqual(watch.response.stream?.map(translate));
  });

  test('pod-delete-unscheduled', async () => {
    const { exchanges = [] } = captureOf('pod-delete-unscheduled');
    await createRecorded(exchanges[0]?.response.body);
    for (const exchange of exchanges) await replay(exchange);
  });

  test('pod-update-conflict and pod-delete-uid-precondition', async () => {
    const touch = { body: { metadata: { labels: { touched: '1' } } }, contentType: 'application/merge-patch+json' };
    await client.call('PATCH', '/api/v1/namespaces/pool/pods/slot-b', touch);
    await replayOne('pod-update-conflict');
    await replayOne('pod-delete-uid-precondition');
  });

  test('pod-unschedulable', async () => {
    await writeStatus('slot-c', 'pod-unschedulable');
    await replayOne('pod-unschedulable');
  });

  test('pod-image-pull-backoff, pod-failed-oom and pod-evicted', async () => {
    const body = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'slot-d' },
      target: { apiVersion: 'v1', kind: 'Node', name: 'node-1' },
    };
    await client.call('POST', '/api/v1/namespaces/pool/pods/slot-d/binding', { body });
    for (const name of ['pod-image-pull-backoff', 'pod-failed-oom', 'pod-evicted']) {
      await writeStatus('slot-d', name);
      await replayOne(name);
    }
  });

  test('watch-list', async () => {
    await replayOne('watch-list');
  });

  test('lease-cas', async () => {
    for (const exchange of captureOf('lease-cas').exchanges ?? []) await replay(exchange);
  });

  test.each(['watch-bad-version', 'watch-too-old'])('%s', async (name) => {
    await replayOne(name);
  });

  test('too-many-requests', async () => {
    const fault = double.faults.add({ verbs: ['list'] }, { kind: 'refuse', status: 429 }, 1);
    await replayOne('too-many-requests');
    expect(fault.hits).toBe(1);
  });

  test('none is left out', async () => {
    await eventually(() => expect([...REPLAYED].toSorted()).toEqual([...CAPTURES.keys()].toSorted()));
  });
});
