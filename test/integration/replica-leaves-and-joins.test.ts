// Planned moves cost nothing that a client can see (guarantee G10; DESIGN 4.1).
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { type Cluster, SLOW, startCluster } from './support/cluster.ts';
import { History } from './support/history.ts';
import { Load } from './support/load.ts';
import type { ServiceProcess } from './support/service-process.ts';

it('a replica that joins gets its share, one that is stopped hands over all it has, and no request fails', async ({ annotate }) => {
  const pool = { driver: 'simulated', floor: 3, worker: { memory: '1MiB' } };
  // What is planned waits for no silence, and nobody who stands still for a moment is to be taken for lost.
  await using cluster = await startCluster({ replicas: 1, takeover: '2500ms', pools: { pool, other: pool } });
  await cluster.warm('pool', 3);
  const [first] = cluster.replicas.values();
  if (first === undefined) throw new Error('no replica runs');
  const history = new History();
  const load = new Load({ cluster, history, pool: 'pool', plain: 2, clients: 2 });
  await load.rounds(3);
  const { shards } = await cluster.admin({ type: 'status' });
  expect(shards.map(({ shard, owner, epoch }) => [shard, owner, epoch])).toEqual([
    ['janitor', first.name, 1],
    ['pool', first.name, 1],
    ['other', first.name, 1],
  ]);

  // It has to be steady for 10 s, and a shard stays for 30 s where it is.
  const second = await cluster.startReplica();
  const shared = { [first.name]: 2, [second.name]: 1 };
  await eventually(async () => expect(await owned(cluster)).toEqual(shared), { timeoutMs: 240_000, everyMs: 250 });
  await load.rounds(3);

  expect(await cluster.stopReplica(first.name)).toBe(0);
  await eventually(async () => expect((await owned(cluster))[second.name]).toBe(3), SLOW);
  await load.rounds(3);
  await load.stop();
  expect(load.failures).toEqual([]);

  // Handed over each time, and never taken for lost: one epoch more for each shard.
  expect((await cluster.admin({ type: 'status' })).shards.map(({ epoch }) => epoch)).toEqual([2, 2, 2]);
  const handedOver = linesOf(first, 'shard handed over');
  const taken = linesOf(second, 'shard taken');
  expect(new Set(handedOver.map(({ shard }) => shard))).toEqual(new Set(['janitor', 'other', 'pool']));
  expect(handedOver.length).toBe(3);
  expect(handedOver.every(({ to }) => to === second.name)).toBe(true);
  for (const { shard, time } of handedOver) {
    const gapMs = (taken.find((one) => one.shard === shard)?.time ?? Number.NaN) - time;
    await annotate(`${shard} was taken ${gapMs} ms after it was handed over`);
  }
  await eventually(async () => {
    const slots = await cluster.slots('pool');
    const live = slots.flatMap(({ slot, epoch, reservation }) => (reservation === null ? [] : [{ slot, epoch }]));
    expect(history.violations({ live })).toEqual([]);
    expect(live).toEqual([]);
  }, SLOW);
  await annotate(`${history.count('granted')} grants, the slowest after ${Math.round(load.slowestMs)} ms`);
});

/** How many shards each replica has, as the replicas say themselves. */
async function owned(cluster: Cluster): Promise<Readonly<Record<string, number>>> {
  const { replicas } = await cluster.admin({ type: 'status' });
  return Object.fromEntries(replicas.map(({ id, shards }) => [id, shards.length]));
}

interface LogLine {
  readonly msg: string;
  readonly time: number;
  readonly shard?: string;
  readonly to?: string;
}

function linesOf(service: ServiceProcess, message: string): readonly LogLine[] {
  const lines = service
    .log()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as LogLine).filter(({ msg }) => msg === message);
}
