// Three NATS servers and the journals on all of them: one of the servers may be lost at any time (guarantees G1, G6, G10).
import { connectNats, type NatsConnected } from '@muster/nats';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { decode } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { describe, expect, inject, test } from 'vitest';
import { History } from '../integration/support/history.ts';
import { Load } from '../integration/support/load.ts';
import { composeProject } from './support/compose-project.ts';
import { SLOW } from './support/door.ts';

const why = inject('whyNoEngine');
const worker = { command: ['node', 'services/duckdb-worker/src/main.ts'], memory: '256MiB', env: { LOG_LEVEL: 'warn' } };
const config = { cluster: { name: 'tripled' }, pools: { pool: { driver: 'process', floor: 4, recycle: 'shared', worker } } };

interface StreamInfo {
  readonly config: { readonly num_replicas: number };
  readonly cluster: { readonly leader?: string; readonly replicas: readonly { readonly name: string; readonly current: boolean }[] };
}

/** As the user may see it who makes the stream. */
async function stream(nats: NatsConnected): Promise<StreamInfo> {
  const message = await nats.bus.request('$JS.API.STREAM.INFO.MUSTER_tripled', new Uint8Array(0), { timeoutMs: 2_000 });
  return decode(message.data) as StreamInfo;
}

describe.skipIf(why !== undefined)(`docker compose --profile cluster${why === undefined ? '' : `: ${why}`}`, () => {
  test.for([
    { over: 'in the clear', isTls: false },
    { over: 'over TLS', isTls: true },
  ])(
    'three servers $over, and their leader is killed under load: decisions stop for seconds, nothing is lost',
    async ({ isTls }, { annotate }) => {
      await using project = await composeProject({ config, profiles: ['cluster'], isTls });
      await project.do('up', '--detach', '--wait');
      const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
      const setup = await project.natsAs('streams', 'setup');
      const nats = await eventually(() => connectNats({ ...setup, name: 'test', ...tools }), SLOW);
      await using resources = new AsyncDisposableStack();
      resources.defer(() => nats.close());
      const leader = await eventually(async () => {
        const { config: settings, cluster } = await stream(nats);
        expect(settings.num_replicas).toBe(3);
        const servers = [cluster.leader, ...cluster.replicas.map(({ name }) => name)];
        expect(new Set(servers)).toEqual(new Set(['nats', 'nats-2', 'nats-3']));
        return cluster.leader ?? '';
      }, SLOW);

      const history = new History();
      const load = new Load({ cluster: project, history, pool: 'pool', plain: 2, clients: 2 });
      await load.rounds(5);
      const killedMs = performance.now();
      await project.do('kill', leader);
      await load.rounds(1);
      await annotate(
        `every tenant was served again ${Math.round(performance.now() - killedMs)} ms after the leader (${leader}) was killed`,
      );
      await load.rounds(5);
      await eventually(
        async () => expect(['nats', 'nats-2', 'nats-3'].filter((name) => name !== leader)).toContain((await stream(nats)).cluster.leader),
        SLOW,
      );
      await project.do('start', leader);
      await eventually(async () => {
        const { cluster } = await stream(nats);
        expect(cluster.replicas.map(({ current }) => current)).toEqual([true, true]);
      }, SLOW);
      await load.rounds(3);

      await load.stop();
      expect(load.failures).toEqual([]);
      await eventually(async () => {
        const live = (await project.slots()).flatMap(({ slot, epoch, reservation }) =>
          reservation === null ? [] : [{ slot, epoch, reservation }],
        );
        expect(history.violations({ live })).toEqual([]);
        expect(live).toEqual([]);
      }, SLOW);
      await annotate(`${history.count('granted')} grants, the slowest after ${Math.round(load.slowestMs)} ms`);
    },
  );

  test('how many servers there are is decided at the first start', async () => {
    await using project = await composeProject({ config: { cluster: { name: 'single' }, pools: {} } });
    await project.do('up', '--detach', '--wait', 'control-plane');
    // Of this project's configuration, not of the image's.
    expect(await project.do('run', '--rm', '-T', 'muster', 'doctor')).toContain('cluster single');
    const { code, all } = await project.compose('--profile', 'cluster', 'up', '--detach', '--wait', 'control-plane');
    expect(code).not.toBe(0);
    expect(all).toContain('set-up-cluster');
    expect((await project.compose('--profile', 'cluster', 'logs', 'set-up-cluster')).all).toContain('this project runs on one NATS server');
    // By themselves they would answer to the name of the one that has the journals.
    const servers = (await project.containers()).filter(({ service }) => service.startsWith('nats'));
    expect(servers.filter(({ state }) => state === 'running').map(({ service }) => service)).toEqual(['nats']);
  });
});
