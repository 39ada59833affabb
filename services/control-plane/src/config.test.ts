import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMusterError } from '@muster/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readConfig } from './config.ts';

let folder = '';
let file = '';
let keyFile = '';
const KEY = 'a key of the cluster';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muster-config-'));
  file = join(folder, 'muster.yaml');
  keyFile = join(folder, 'key');
  await writeFile(file, 'cluster: {name: demo}\nnats: {servers: ["nats://10.0.0.1:4222"]}\npools: {a: {driver: simulated}}\n');
  await writeFile(keyFile, `${KEY}\n`, { mode: 0o600 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function problemOf(environment: Record<string, string>): { readonly message: string; readonly field: string | undefined } {
  try {
    readConfig(environment);
  } catch (error) {
    if (isMusterError(error, 'bad-request')) return { message: error.message, field: error.field };
    throw error;
  }
  throw new Error('it was taken');
}

test('what is not set has its default; set to nothing is not set', () => {
  const defaults = readConfig({ MUSTER_CONFIG: file, MUSTER_KEY: KEY });
  expect(defaults).toMatchObject({
    servers: ['nats://10.0.0.1:4222'],
    natsReplicas: 1,
    replica: undefined,
    http: { host: '127.0.0.1', port: 0 },
    key: KEY,
    takeoverMs: 1_500,
    logLevel: 'info',
    file: { cluster: { name: 'demo' } },
  });
  const nothing = {
    MUSTER_NATS_URL: '',
    MUSTER_NATS_REPLICAS: '',
    MUSTER_HTTP_HOST: '',
    MUSTER_HTTP_PORT: '',
    MUSTER_KEY_FILE: '',
    MUSTER_TAKEOVER: '',
    LOG_LEVEL: '',
  };
  expect(readConfig({ MUSTER_CONFIG: file, MUSTER_KEY: KEY, ...nothing })).toEqual(defaults);
});

test('the environment goes before the file', () => {
  const config = readConfig({
    MUSTER_CONFIG: file,
    MUSTER_KEY_FILE: keyFile,
    MUSTER_NATS_URL: 'nats://a:4222, nats://b:4222',
    MUSTER_NATS_REPLICAS: '3',
    MUSTER_HTTP_PORT: '8080',
    MUSTER_TAKEOVER: '700ms',
  });
  expect(config).toMatchObject({
    servers: ['nats://a:4222', 'nats://b:4222'],
    natsReplicas: 3,
    key: KEY,
    http: { port: 8080 },
    takeoverMs: 700,
  });
});

test.each([
  [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL'],
  [{ MUSTER_HTTP_PORT: '70000' }, 'MUSTER_HTTP_PORT'],
  [{ MUSTER_HTTP_PORT: 'http' }, 'MUSTER_HTTP_PORT'],
  [{ MUSTER_REPLICA_ID: 'a.b' }, 'MUSTER_REPLICA_ID'],
  [{ MUSTER_TAKEOVER: '1500' }, 'MUSTER_TAKEOVER'],
  [{ MUSTER_NATS_REPLICAS: '2' }, 'MUSTER_NATS_REPLICAS'],
  [{ MUSTER_TAKEOVER: '1ms' }, 'MUSTER_TAKEOVER'],
  [{ MUSTER_TAKEOVER: '1h' }, 'MUSTER_TAKEOVER'],
  [{ MUSTER_KEY: 'short' }, 'MUSTER_KEY'],
  [{ MUSTER_HTTP_HOST: '0.0.0.0' }, 'MUSTER_HTTP_HOST'],
  [{ MUSTER_HTTP_HOST: '192.0.2.1' }, 'MUSTER_HTTP_HOST'],
  [{ MUSTER_HTTP_TOKENS_FILE: '/nowhere/tokens' }, 'MUSTER_HTTP_TOKENS_FILE'],
  [{ MUSTER_CONFIG: '/nowhere/muster.yaml' }, 'MUSTER_CONFIG'],
] as const)('%o is refused, by name', (wrong, field) => {
  const problem = problemOf({ MUSTER_CONFIG: file, MUSTER_KEY: KEY, ...wrong });
  expect(problem.field).toBe(field);
  expect(problem.message).toContain(`${field}: `);
});

test('every variable that is wrong is named at once', () => {
  const { message } = problemOf({ MUSTER_KEY: 'short', LOG_LEVEL: 'loud' });
  for (const name of ['MUSTER_CONFIG', 'MUSTER_KEY', 'LOG_LEVEL']) expect(message).toContain(`${name}: `);
});

test('a key is needed, and a key file that others may read is refused', async () => {
  expect(problemOf({ MUSTER_CONFIG: file }).message).toMatch(/MUSTER_KEY_FILE.*MUSTER_KEY/);
  await chmod(keyFile, 0o644);
  expect(problemOf({ MUSTER_CONFIG: file, MUSTER_KEY_FILE: keyFile }).message).toMatch(/0600/);
  await chmod(keyFile, 0o600);
  expect(readConfig({ MUSTER_CONFIG: file, MUSTER_KEY_FILE: keyFile }).key).toBe(KEY);
});

test('other machines are served with tokens, or where it was said that none are needed', async () => {
  const tokens = `${keyFile}.tokens`;
  const env = { MUSTER_CONFIG: file, MUSTER_KEY: KEY, MUSTER_HTTP_HOST: '0.0.0.0' };
  await writeFile(tokens, '# for the dashboard\nread 0123456789abcdef\nwrite fedcba9876543210\n', { mode: 0o600 });
  expect(readConfig({ ...env, MUSTER_HTTP_TOKENS_FILE: tokens }).http.access).toEqual({
    tokens: [
      { role: 'read', token: '0123456789abcdef' },
      { role: 'write', token: 'fedcba9876543210' },
    ],
    areMetricsOpen: false,
    isOpen: false,
  });
  expect(readConfig({ ...env, MUSTER_HTTP_OPEN: 'yes' }).http.access).toMatchObject({ tokens: [], isOpen: true });
  for (const [text, said] of [
    ['read short', 'line 1'],
    ['read 0123456789abcdef\nadmin 0123456789abcdef', 'line 2'],
    ['# nothing\n', 'no token'],
  ] as const) {
    await writeFile(tokens, text);
    const { message } = problemOf({ ...env, MUSTER_HTTP_TOKENS_FILE: tokens });
    expect(message).toContain(said);
    expect(message).not.toContain('0123456789abcdef');
  }
  await chmod(tokens, 0o640);
  expect(problemOf({ ...env, MUSTER_HTTP_TOKENS_FILE: tokens }).message).toMatch(/0600/);
});
