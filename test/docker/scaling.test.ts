// Replicas and hosts in any number, and any of them killed (guarantees G1, G6, G7, G10).
import { eventually } from '@muster/testkit';
import { describe, expect, inject, test } from 'vitest';
import { History } from '../integration/support/history.ts';
import { Load } from '../integration/support/load.ts';
import { composeProject } from './support/compose-project.ts';
import { SLOW } from './support/door.ts';

const why = inject('whyNoEngine');
const POOLS = ['alpha', 'beta', 'gamma', 'delta'];
const worker = { command: ['node', 'services/duckdb-worker/src/main.ts'], memory: '256MiB', env: { LOG_LEVEL: 'warn' } };
const config = {
  cluster: { name: 'scaled' },
  // Nobody says at once that the workers of a dead host are gone: a client finds out within its lease of 3 s.
  pools: Object.fromEntries(POOLS.map((pool) => [pool, { driver: 'process', floor: 3, recycle: 'shared', activation: '2500ms', worker }])),
};

describe.skipIf(why !== undefined)(`docker compose --scale${why === undefined ? '' : `: ${why}`}`, () => {
  test('shards spread over five replicas; any one replica and any one host may be killed under load', async ({ annotate }) => {
    await using project = await composeProject({ config });
    await project.do('up', '--detach', '--wait', '--scale', 'control-plane=5', '--scale', 'host=3');
    const hosts = await eventually(async () => {
      const { hosts: seen } = await project.admin({ type: 'hosts' });
      expect(seen.map(({ isSilent }) => isSilent)).toEqual([false, false, false]);
      return seen.map(({ host }) => host).sort();
    }, SLOW);
    await eventually(async () => {
      const { replicas } = await project.admin({ type: 'status' });
      // Four pools and the janitor.
      expect(replicas.filter(({ isAlive }) => isAlive).map(({ shards }) => shards.length)).toEqual([1, 1, 1, 1, 1]);
    }, SLOW);

    const history = new History();
    const loads = POOLS.slice(0, 2).map((pool) => new Load({ cluster: project, history, pool, plain: 0, clients: 2 }));
    const rounds = (more: number) => Promise.all(loads.map((load) => load.rounds(more)));
    await using keeper = await project.client();
    const kept = await Promise.all(Array.from({ length: 3 }, (_, n) => keeper.reserve('gamma', { org: `keeper-${n}`, waitMs: 30_000 })));
    const lost = new Map<string, string>();
    for (const reservation of kept) reservation.onLost((reason) => void lost.set(reservation.id, reason));
    await rounds(2);

    // The owner of a pool that is asked all the time.
    const { shard, owner } = await eventually(async () => {
      const { shards, replicas } = await project.admin({ type: 'status' });
      const alpha = shards.find((one) => one.shard === 'alpha');
      const replica = replicas.find(({ id, isAlive }) => isAlive && id === alpha?.owner);
      return replica !== undefined && { shard: alpha, owner: replica };
    }, SLOW);
    const killedMs = performance.now();
    await project.docker('kill', new URL(owner.http ?? '').hostname);
    await eventually(async () => {
      const taken = (await project.admin({ type: 'status' })).shards.find((one) => one.shard === 'alpha');
      expect(taken?.epoch).toBeGreaterThan(shard?.epoch ?? Number.NaN);
      expect(taken?.owner).not.toBe(owner.id);
    }, SLOW);
    await annotate(`alpha was taken over after ${Math.round(performance.now() - killedMs)} ms`);
    await rounds(3);
    expect([...lost]).toEqual([]);

    // One host of three: its workers go with it, and nobody else's.
    const slots = await eventually(async () => {
      const seen = await project.slots();
      expect(kept.map(({ slot }) => seen.find((one) => one.slot === slot)?.state)).toEqual(kept.map(() => 'reserved.active'));
      return seen;
    }, SLOW);
    const hostOf = (slot: string): string => slots.find((one) => one.slot === slot)?.host ?? '';
    const victim = hostOf(kept[0]?.slot ?? '');
    const doomed = kept.filter(({ slot }) => hostOf(slot) === victim);
    const container = await project.containerOfHost(victim);
    await project.docker('kill', container);
    await rounds(5);
    expect([...lost], 'a silent host may come back').toEqual([]);
    await project.docker('start', container);
    // It comes back as the same host, and says what has become of its workers.
    await eventually(() => expect(lost).toEqual(new Map(doomed.map(({ id }) => [id, 'worker-lost']))), SLOW);
    await eventually(async () => {
      const { hosts: seen } = await project.admin({ type: 'hosts' });
      expect(seen.map(({ host }) => host).sort()).toEqual(hosts);
    }, SLOW);
    const spared = kept.filter((reservation) => !doomed.includes(reservation));
    await eventually(async () => {
      const seen = await project.slots();
      expect(spared.map(({ slot }) => seen.find((one) => one.slot === slot)?.state)).toEqual(spared.map(() => 'reserved.active'));
    }, SLOW);
    await rounds(3);

    await Promise.all(loads.map((load) => load.stop()));
    expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
    await eventually(async () => {
      const live = (await project.slots()).flatMap(({ slot, epoch, reservation, pool }) =>
        reservation === null || pool === 'gamma' ? [] : [{ slot, epoch, reservation }],
      );
      expect(history.violations({ live })).toEqual([]);
      expect(live).toEqual([]);
    }, SLOW);
    const slowestMs = Math.round(Math.max(...loads.map((load) => load.slowestMs)));
    await annotate(`${history.count('granted')} grants, the slowest after ${slowestMs} ms`);
  });
});
