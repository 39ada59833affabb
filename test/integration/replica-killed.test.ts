// Losing replicas costs nothing but a moment (guarantees G1, G3, G6, G10).
import { eventually, natsServerBinaries } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { type Cluster, SLOW, startCluster } from './support/cluster.ts';
import { History } from './support/history.ts';
import { type HeldRef, Load, release, renew } from './support/load.ts';

describe.each(natsServerBinaries())('on nats-server $version', (nats) => {
  it('each replica in turn is killed under load: nothing is lost, and nothing given twice', async ({ annotate }) => {
    const worker = { memory: '1MiB' };
    await using cluster = await startCluster({
      nats,
      pools: {
        pool: { driver: 'simulated', floor: 4, worker },
        // Fewer workers than tenants: they wait for each other, and each worker goes from one to the next.
        scarce: { driver: 'simulated', floor: 3, max: 3, recycle: 'shared', worker },
      },
    });
    await cluster.warm('pool', 4);
    const history = new History();
    const held = await reserveSome(cluster, history);
    const loads = [
      new Load({ cluster, history, pool: 'pool', plain: 2, clients: 1 }),
      new Load({ cluster, history, pool: 'scarce', plain: 3, clients: 2 }),
    ];
    const rounds = (more: number) => Promise.all(loads.map((load) => load.rounds(more)));
    await rounds(3);

    const first = [...cluster.replicas.keys()];
    for (let killed = 0; killed < first.length; killed++) {
      // The pool's owner, the janitor's owner, and whoever of the first ones is left.
      const candidates = [(await cluster.shard('pool')).owner, (await cluster.shard('janitor')).owner, ...first];
      const victim = (killed === 1 ? candidates.slice(1) : candidates).find((id) => first.includes(id) && cluster.replicas.has(id));
      if (victim === undefined) throw new Error('nobody is left to be killed');
      const { shards } = await cluster.admin({ type: 'status' });
      const orphans = shards.filter(({ owner }) => owner === victim);
      await cluster.killReplica(victim);
      const killedMs = performance.now();
      for (const { shard, epoch } of orphans) {
        const taken = await cluster.shard(shard);
        expect(taken.owner).not.toBe(victim);
        expect(taken.epoch).toBeGreaterThan(epoch);
        await annotate(`${shard} of ${victim} is owned by ${taken.owner} after ${Math.round(performance.now() - killedMs)} ms`);
      }
      await rounds(3);
      for (const reservation of held) await renew({ cluster, history }, reservation);
      await cluster.startReplica();
    }

    await rounds(5);
    await Promise.all(loads.map((load) => load.stop()));
    expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
    for (const reservation of held.splice(0, 2)) await release({ cluster, history }, reservation);
    await eventually(async () => {
      const slots = [...(await cluster.slots('pool')), ...(await cluster.slots('scarce'))];
      const live = slots.flatMap(({ slot, epoch, reservation }) => (reservation === null ? [] : [{ slot, epoch }]));
      expect(history.violations({ live })).toEqual([]);
      expect(live.length).toBe(held.length);
    }, SLOW);
    await annotate(
      `${history.count('granted')} grants, the slowest after ${Math.round(Math.max(...loads.map(({ slowestMs }) => slowestMs)))} ms`,
    );
  });
});

/** Reservations of one who keeps them through all of it. */
async function reserveSome(cluster: Cluster, history: History) {
  const held: HeldRef[] = [];
  for (let n = 0; n < 4; n++) {
    const request = `keeper-${n}`;
    history.note({ type: 'asked', request });
    const answer = await cluster.reserve('pool', { org: 'keeper', requestId: request, waitMs: 60_000, ttlMs: 600_000 });
    if (!answer.ok) throw new Error(JSON.stringify(answer));
    const { id, slot, epoch } = answer.reservation;
    history.note({ type: 'granted', request, slot, epoch });
    held.push({ id, slot, epoch });
  }
  return held;
}
