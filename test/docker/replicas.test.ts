// The project's own images, each replica a machine of its own: one that stands still, and one whose cable is pulled, decide
// nothing (guarantees G1, G3, G10).
import { eventually } from '@muster/testkit';
import { GenericContainer, Network, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';
import { describe, expect, inject, test } from 'vitest';
import { History } from '../integration/support/history.ts';
import { Load } from '../integration/support/load.ts';
import { Door, SLOW } from './support/door.ts';
import { cut, mend, pause, unpause } from './support/engine.ts';
import { startNats } from './support/nats-containers.ts';

const why = inject('whyNoEngine');
const pool = { driver: 'simulated', floor: 4, recycle: 'shared', worker: { memory: '1MiB' } };
const content = JSON.stringify({ cluster: { name: 'boxed' }, pools: { pool } });
const target = '/opt/muster/muster.yaml';
const environment = { MUSTER_NATS_URL: 'nats://n1:4222', MUSTER_KEY: 'a key for this test only', MUSTER_HTTP_OPEN: 'yes' };
const REPLICAS = 3;

async function start(image: string, network: StartedNetwork, more: Readonly<Record<string, string>> = {}): Promise<StartedTestContainer> {
  return new GenericContainer(image)
    .withNetwork(network)
    .withCopyContentToContainer([{ content, target, mode: 0o644 }])
    .withEnvironment({ ...environment, ...more })
    .withWaitStrategy(Wait.forHealthCheck().withStartupTimeout(SLOW.timeoutMs))
    .start();
}

interface Owned {
  readonly owner: string;
  readonly epoch: number;
  readonly container: StartedTestContainer;
}

/** Who owns the pool, as a replica shows it that owns it by its own beats. */
async function ownerOf(door: Door, replicas: readonly StartedTestContainer[]): Promise<Owned> {
  return eventually(async () => {
    const status = await door.admin({ type: 'status' });
    const shard = status.shards.find((one) => one.shard === 'pool');
    const replica = status.replicas.find(({ id, isAlive, shards }) => id === shard?.owner && isAlive && shards.includes('pool'));
    // A container is named by the beginning of its id.
    const name = new URL(replica?.http ?? 'http://nobody').hostname;
    const container = replicas.find((one) => one.getId().startsWith(name));
    return shard === undefined || replica === undefined || container === undefined
      ? (false as const)
      : { owner: replica.id, epoch: shard.epoch, container };
  }, SLOW);
}

describe.skipIf(why !== undefined)(`replicas in containers${why === undefined ? '' : `: ${why}`}`, () => {
  test.for([
    { fault: 'stands still', begin: pause, end: unpause },
    { fault: 'is cut off', begin: cut, end: (one: StartedTestContainer, network: StartedNetwork) => mend(one, network, 'mended') },
  ])('the owner $fault: another takes over, and nothing of what it had in hand comes true', async ({ begin, end }, { annotate }) => {
    await using resources = new AsyncDisposableStack();
    const network = resources.use(await new Network().start());
    const [nats] = await startNats(network, 1, resources);
    const starting = Array.from({ length: REPLICAS }, () => start('muster/control-plane', network));
    const replicas = await Promise.all(starting.map(async (one) => resources.use(await one)));
    resources.use(await start('muster/host', network, { MUSTER_HOST_KIND: 'simulated' }));
    const door = resources.use(new Door(async () => ({ servers: [nats?.url ?? ''] })));
    await eventually(async () => expect((await door.admin({ type: 'pools' })).pools).toMatchObject([{ warm: 4 }]), SLOW);

    const history = new History();
    const load = new Load({ cluster: door, history, pool: 'pool', plain: 2, clients: 2 });
    await load.rounds(5);
    const before = await ownerOf(door, replicas);
    const sinceMs = performance.now();
    await begin(before.container, network);
    const after = await ownerOf(
      door,
      replicas.filter((one) => one !== before.container),
    );
    await annotate(`taken over after ${Math.round(performance.now() - sinceMs)} ms`);
    expect(after.epoch).toBeGreaterThan(before.epoch);
    await load.rounds(5);
    await end(before.container, network);
    // It is back, and owns nothing that another has: who owns the pool is who took it over, or to whom it was moved since.
    await eventually(async () => {
      const { replicas: seen, shards } = await door.admin({ type: 'status' });
      const shard = shards.find((one) => one.shard === 'pool');
      expect(seen.find(({ id }) => id === before.owner)).toMatchObject({ isAlive: true });
      expect(seen.filter(({ isAlive, shards: own }) => isAlive && own.includes('pool')).map(({ id }) => id)).toEqual([shard?.owner]);
      expect(shard?.epoch).toBeGreaterThanOrEqual(after.epoch);
      if (shard?.epoch === after.epoch) expect(shard.owner).toBe(after.owner);
    }, SLOW);
    await load.rounds(5);

    await load.stop();
    expect(load.failures).toEqual([]);
    await eventually(async () => {
      const live = (await door.slots()).flatMap(({ slot, epoch, reservation }) =>
        reservation === null ? [] : [{ slot, epoch, reservation }],
      );
      expect(history.violations({ live })).toEqual([]);
      expect(live).toEqual([]);
    }, SLOW);
    await annotate(`${history.count('granted')} grants, the slowest after ${Math.round(load.slowestMs)} ms`);
  });
});
