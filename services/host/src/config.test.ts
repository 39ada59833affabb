import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { readHostConfig } from './config.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

const YAML = `
cluster: { name: demo }
nats: { servers: ["nats://127.0.0.1:4222"] }
host: { memoryBudget: 2GiB }
pools:
  duckdb:
    driver: process
    worker: { command: [node, main.ts], memory: 256MiB, env: { LOG_LEVEL: info } }
    floor: 5
  noop:
    driver: simulated
    worker: { memory: 1MiB }
    floor: 1
`;

async function environment(yaml = YAML): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-host-'));
  folders.push(folder);
  await writeFile(join(folder, 'muster.yaml'), yaml);
  return { MUSTER_CONFIG: join(folder, 'muster.yaml'), MUSTER_HOST_STATE: join(folder, 'host'), PATH: '/bin', SECRET: 'x' };
}

describe('readHostConfig', () => {
  it('reads what it needs of the file and the environment, and passes on no secret', async () => {
    const env = await environment();
    const config = await readHostConfig(env);
    expect(config).toMatchObject({
      kind: 'process',
      servers: ['nats://127.0.0.1:4222'],
      cluster: 'demo',
      hostId: undefined,
      memoryBudgetBytes: 2 * 1024 ** 3,
      workFolder: join(env['MUSTER_CONFIG'] ?? '', '..'),
      baseEnv: { PATH: '/bin' },
    });
    expect(config.baseEnv).toEqual({ PATH: '/bin', MUSTER_DATA_DIR: join(env['MUSTER_HOST_STATE'] ?? '', 'workers') });
    expect(await config.readCommands()).toEqual(new Map([['duckdb', { command: ['node', 'main.ts'], env: { LOG_LEVEL: 'info' } }]]));
  });

  it('tells workers where to listen and how they are reached, `auto` by an address of the machine', async () => {
    const env = { ...(await environment()), MUSTER_WORKER_HOST: '0.0.0.0', MUSTER_WORKER_ADVERTISE: 'host-7' };
    const { baseEnv, onStop } = await readHostConfig(env);
    expect(baseEnv).toMatchObject({ MUSTER_WORKER_HOST: '0.0.0.0', MUSTER_WORKER_ADVERTISE: 'host-7' });
    expect(onStop).toBe('run-on');
    const own = Object.values(networkInterfaces()).flatMap((all = []) => all.flatMap((one) => (one.internal ? [] : [one.address])));
    const auto = readHostConfig({ ...env, MUSTER_WORKER_ADVERTISE: 'auto', MUSTER_HOST_ON_STOP: 'drain' });
    if (own.length === 0) return expect(auto).rejects.toMatchObject({ field: 'MUSTER_WORKER_ADVERTISE' });
    expect(own).toContain((await auto).baseEnv['MUSTER_WORKER_ADVERTISE']);
    expect((await auto).onStop).toBe('drain');
  });

  it('reads the pools anew each time', async () => {
    const env = await environment();
    const config = await readHostConfig(env);
    await writeFile(env['MUSTER_CONFIG'] ?? '', YAML.replace('main.ts', 'other.ts'));
    expect((await config.readCommands()).get('duckdb')?.command).toEqual(['node', 'other.ts']);
  });

  it.each([
    ['MUSTER_CONFIG', { MUSTER_CONFIG: undefined }],
    ['MUSTER_CONFIG', { MUSTER_CONFIG: '/nowhere/muster.yaml' }],
    ['MUSTER_HOST_STATE', { MUSTER_HOST_STATE: undefined }],
    ['MUSTER_HOST_KIND', { MUSTER_HOST_KIND: 'pod' }],
    ['MUSTER_HOST_ID', { MUSTER_HOST_ID: 'a.b' }],
    ['MUSTER_HOST_ON_STOP', { MUSTER_HOST_ON_STOP: 'kill' }],
  ])('names %s when it is missing or wrong', async (field, change) => {
    const env = { ...(await environment()), ...change };
    await expect(readHostConfig(env)).rejects.toMatchObject({ code: 'bad-request', field });
  });

  it('needs servers from somewhere', async () => {
    const env = await environment(YAML.replace(/nats:.*\n/, ''));
    await expect(readHostConfig(env)).rejects.toMatchObject({ field: 'MUSTER_NATS_URL' });
    expect((await readHostConfig({ ...env, MUSTER_NATS_URL: 'nats://a:1,nats://b:2' })).servers).toEqual(['nats://a:1', 'nats://b:2']);
  });
});
