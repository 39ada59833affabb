// What a newcomer does with Docker alone, in the order of docs/guide/compose.md.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type ComposeProject, composeProject } from './support/compose-project.ts';
import { SLOW } from './support/door.ts';
import { eventually } from '@muster/testkit';

const why = inject('whyNoEngine');

describe.skipIf(why !== undefined)(`docker compose${why === undefined ? '' : `: ${why}`}`, () => {
  let project: ComposeProject;

  beforeAll(async () => {
    project = await composeProject({ isShared: true });
  });
  afterAll(() => project?.[Symbol.asyncDispose]());

  test('up --build --wait ends with a warm cluster, and a line that says where to go', async () => {
    await project.do('up', '--detach', '--build', '--wait');
    // A replica that stands still for a moment is not counted, and back in the next.
    expect(await project.do('logs', '--no-log-prefix', 'ready')).toMatch(
      /^ready: demo with [1-3] replicas, 1 hosts; pools duckdb 5 warm; http:\/\/127\.0\.0\.1:.* \(its token: docker compose run --rm token\)$/m,
    );
    await eventually(async () => {
      const containers = await project.containers();
      for (const { service, state, health, exitCode } of containers) {
        const once = ['set-up', 'streams', 'ready'].includes(service);
        expect({ service, state, health, exitCode }).toEqual({
          service,
          state: once ? 'exited' : 'running',
          health: once ? '' : 'healthy',
          exitCode: 0,
        });
      }
      expect(containers.map(({ service }) => service).sort()).toEqual(
        ['control-plane', 'control-plane', 'control-plane', 'front-door', 'host', 'nats', 'ready', 'set-up', 'streams'].sort(),
      );
    }, SLOW);
  });

  test('the front door leads to every replica in turn', async () => {
    const door = `http://${await project.published('front-door', 8080)}`;
    expect((await fetch(`${door}/v1/status`)).status).toBe(401);
    const token = await project.do('run', '--rm', '--no-deps', '-T', 'token');
    const headers = { authorization: `Bearer ${token}` };
    const seen = new Set<string>();
    await eventually(async () => {
      const { ok, replica, replicas } = (await (await fetch(`${door}/v1/status`, { headers })).json()) as {
        ok: boolean;
        replica: string;
        replicas: readonly { readonly isAlive: boolean }[];
      };
      expect(ok).toBe(true);
      expect(replicas.map(({ isAlive }) => isAlive)).toEqual([true, true, true]);
      seen.add(replica);
      expect(seen.size).toBe(3);
    }, SLOW);
  });

  test('nothing is published but on loopback, nobody is root, and no file system can be written', async () => {
    for (const { id, service } of await project.containers()) {
      const inspected = JSON.parse((await project.docker('inspect', id)).out) as readonly [
        {
          readonly Config: { readonly User: string };
          readonly HostConfig: { readonly ReadonlyRootfs: boolean; readonly CapDrop: readonly string[] };
          readonly NetworkSettings: { readonly Ports: Readonly<Record<string, readonly { readonly HostIp: string }[] | null>> };
        },
      ];
      const [{ Config, HostConfig, NetworkSettings }] = inspected;
      expect({ service, user: Config.User, isReadOnly: HostConfig.ReadonlyRootfs, drop: HostConfig.CapDrop }).toEqual({
        service,
        user: '1000:1000',
        isReadOnly: true,
        drop: ['ALL'],
      });
      const published = Object.values(NetworkSettings.Ports).flatMap((bindings) => bindings ?? []);
      expect(published.map(({ HostIp }) => HostIp)).toEqual(['nats', 'front-door'].includes(service) ? ['127.0.0.1'] : []);
    }
  });

  test('the images have neither a package manager nor a compiler', async () => {
    for (const service of ['control-plane', 'host']) {
      const { out } = await project.compose(
        'exec',
        '-T',
        service,
        'sh',
        '-c',
        'command -v npm npx yarn corepack gcc cc make python3; ls node_modules | grep -cx vitest',
      );
      expect(out.trim()).toBe('0');
    }
  });

  test('the key of the cluster is made once, for replicas only', async () => {
    const key = await project.do(
      'exec',
      '-T',
      'control-plane',
      'sh',
      '-c',
      'stat -c %a /run/muster/cluster.key; cat /run/muster/cluster.key',
    );
    expect(key).toMatch(/^600\n[\w-]{43}$/);
    expect((await project.compose('exec', '-T', 'host', 'ls', '/run/muster')).out.trim().split('\n')).toEqual([
      'host.creds',
      'settings.env',
    ]);
    await project.do('up', '--detach', '--wait');
    expect(await project.do('exec', '-T', 'control-plane', 'cat', '/run/muster/cluster.key')).toBe(key.slice('600\n'.length));
  });

  test('the muster command reserves, and reaches a worker in its host', async () => {
    const said = await project.do('run', '--rm', '-T', 'muster', 'reserve', 'duckdb', '--org', 'acme', '--sql', 'select 6 * 7 as answer');
    expect(said).toContain('42');
  });

  test('stop drains the workers and hands over, and start goes on from there', async () => {
    // Two replicas own something: whichever stops first has somebody to hand over to.
    const before = await eventually(async () => {
      const status = await project.admin({ type: 'status' });
      expect(status.replicas.filter(({ isAlive, shards }) => isAlive && shards.length > 0)).toHaveLength(2);
      return status;
    }, SLOW);
    await project.do('stop');
    for (const { service, state, exitCode } of await project.containers())
      expect({ service, state, exitCode }).toEqual({ service, state: 'exited', exitCode: 0 });
    const host = await project.do('logs', '--no-log-prefix', 'host');
    const drained = Number(/"workers":(\d+),"graceMs":\d+,"msg":"the host leaves/.exec(host)?.[1]);
    expect(drained).toBeGreaterThanOrEqual(5);
    expect(host.match(/"reason":"exit 0","msg":"worker ended"/g)?.length).toBeGreaterThanOrEqual(drained);
    const replicas = await project.do('logs', '--no-log-prefix', 'control-plane');
    expect(replicas).toContain('"msg":"a host has left"');
    expect(replicas).toContain('"msg":"shard handed over"');

    await project.do('up', '--detach', '--wait');
    await eventually(async () => {
      const after = await project.admin({ type: 'status' });
      expect(after.configVersion).toBe(before.configVersion);
      expect(after.pools).toMatchObject([{ pool: 'duckdb', warm: 5 }]);
      for (const { shard, seq } of before.shards) expect(after.shards.find((one) => one.shard === shard)?.seq).toBeGreaterThan(seq);
    }, SLOW);
  });

  test('the tenants’ run loses nothing, gives nothing twice, and ends with its report', async ({ annotate }) => {
    const load = ['--cold', '--orgs', '30', '--qps', '30', '--duration', '10s'];
    const said = await project.do('--profile', 'load', 'run', '--rm', '-T', 'load', 'bench', 'tenants', ...load, '--json');
    const report = JSON.parse(said.slice(said.indexOf('{'))) as Record<string, unknown>;
    await annotate(JSON.stringify(report));
    expect(report).toMatchObject({ ok: true, orgs: 30, intents: 1, slotsStarted: 35, lost: 0, givenTwice: 0, errors: 0 });
  });
});
