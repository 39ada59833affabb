import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
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
