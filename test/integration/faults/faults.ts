// What is done to a cluster: each fault is injected, lasts, and is healed; all on real processes and real connections.
import { setTimeout as passed } from 'node:timers/promises';
import { decode } from '@muster/protocol';
import { eventually, type TestNatsServer } from '@muster/testkit';
import { type Cluster, type HostKind, SLOW } from '../support/cluster.ts';
import type { History } from '../support/history.ts';
import { kill } from '../support/worker-processes.ts';

export interface FaultWorld {
  readonly cluster: Cluster;
  readonly history: History;
  /** From 0 to 1, of the run's seed. */
  readonly random: () => number;
}

export interface Fault {
  readonly name: string;
  /** Does it, and lets it last. @returns what it was done to, and how it is undone */
  inject(world: FaultWorld): Promise<{ readonly what: string; readonly heal?: () => Promise<void> }>;
}

/** Longer than a takeover. */
const PAUSE_MS = 4_000;
/** Longer than NATS needs to choose another leader. */
const LEADER_PAUSE_MS = 8_000;
const LINK_MS = 4_000;
/** Of a server that ends in order, by itself. */
const LAME_DUCK_MS = 20_000;
/** Makes a server that is told to end do so within seconds: it waits so long before it sends its clients away. */
export const LAME_DUCK_CONFIG = 'lame_duck_grace_period: "1s"\nlame_duck_duration: "30s"';

const replicaKilled: Fault = {
  name: 'replica killed',
  inject: async ({ cluster, random }) => {
    // The owner of a pool or of the janitor: who owns nothing is not missed.
    const shard = pick(['plenty', 'scarce', 'sql', 'janitor'], random);
    const { owner } = await cluster.shard(shard);
    await cluster.killReplica(owner);
    return { what: `${owner}, owner of ${shard}`, heal: async () => void (await cluster.startReplica()) };
  },
};

const replicaStopped: Fault = {
  name: 'replica stopped in order',
  inject: async ({ cluster }) => {
    const { owner } = await cluster.shard('plenty');
    const code = await cluster.stopReplica(owner);
    if (code !== 0) throw new Error(`${owner} ended with ${code}`);
    return { what: owner, heal: async () => void (await cluster.startReplica()) };
  },
};

const replicaPaused: Fault = {
  name: 'replica paused',
  inject: async ({ cluster, random }) => {
    const shard = pick(['plenty', 'scarce', 'janitor'], random);
    const { owner } = await cluster.shard(shard);
    await cluster.replica(owner).pause();
    await passed(PAUSE_MS);
    cluster.replica(owner).resume();
    return { what: `${owner}, owner of ${shard}` };
  },
};

const workerKilled: Fault = {
  name: 'worker killed',
  inject: async ({ cluster, history, random }) => {
    const workers = (await cluster.slots('sql')).flatMap(({ slot, pid }) => (pid === null ? [] : [{ slot, pid }]));
    const { slot, pid } = pick(workers, random);
    history.note({ type: 'worker-killed', slot });
    kill(pid);
    return { what: slot };
  },
};

const workerPaused: Fault = {
  name: 'worker paused',
  inject: async ({ cluster, random }) => {
    const workers = (await cluster.slots('sql')).flatMap(({ slot, pid }) => (pid === null ? [] : [{ slot, pid }]));
    const { slot, pid } = pick(workers, random);
    signal(pid, 'SIGSTOP');
    await passed(PAUSE_MS);
    signal(pid, 'SIGCONT');
    return { what: slot };
  },
};

/** Its workers run on. */
const hostKilled: Fault = {
  name: 'host agent killed',
  inject: async ({ cluster }) => {
    await cluster.hostOf('process').kill();
    return { what: 'process', heal: async () => void (await cluster.startHost('process')) };
  },
};

/** Its workers are in it, and end with it. */
const hostWithWorkersKilled: Fault = {
  name: 'host killed with its workers',
  inject: async ({ cluster, history }) => {
    const before = await slotsOn(cluster, 'simulated');
    for (const slot of before) history.note({ type: 'worker-killed', slot });
    await cluster.hostOf('simulated').kill();
    return {
      what: `${before.length} workers`,
      heal: async () => {
        // Those that were started between looking and killing.
        for (const slot of await slotsOn(cluster, 'simulated')) history.note({ type: 'worker-killed', slot });
        await cluster.startHost('simulated');
      },
    };
  },
};

const hostPaused: Fault = {
  name: 'host agent paused',
  inject: async ({ cluster, random }) => {
    const kind = pick<HostKind>(['process', 'simulated'], random);
    const host = cluster.hostOf(kind);
    await host.pause();
    await passed(PAUSE_MS);
    host.resume();
    return { what: kind };
  },
};

const natsKilled: Fault = {
  name: 'NATS leader killed',
  inject: async ({ cluster }) => {
    const leader = await cluster.leader();
    await leader.kill();
    await passed(500);
    return { what: nameOf(cluster, leader), heal: () => restart(cluster, leader) };
  },
};

const natsPaused: Fault = {
  name: 'NATS leader paused',
  inject: async ({ cluster }) => {
    const leader = await cluster.leader();
    await leader.pause();
    await passed(cluster.servers.length > 1 ? LEADER_PAUSE_MS : PAUSE_MS);
    leader.resume();
    await inSync(cluster);
    return { what: nameOf(cluster, leader) };
  },
};

const natsLameDuck: Fault = {
  name: 'NATS leader ends in order',
  inject: async ({ cluster }) => {
    const leader = await cluster.leader();
    const { pid } = leader;
    if (pid === undefined) throw new Error('the leader does not run');
    process.kill(pid, 'SIGUSR2');
    await eventually(() => leader.pid === undefined, { timeoutMs: LAME_DUCK_MS }).catch(() => leader.stop());
    return { what: nameOf(cluster, leader), heal: () => restart(cluster, leader) };
  },
};

/** Of a replica, a host agent with its workers, or the clients. */
function linkFault(name: string, disturb: (link: Awaited<ReturnType<Cluster['link']>>, random: () => number) => void): Fault {
  return {
    name,
    inject: async ({ cluster, random }) => {
      const { owner } = await cluster.shard(pick(['plenty', 'scarce', 'janitor'], random));
      const who = pick([owner, owner, 'host-process', 'host-simulated', 'clients'], random);
      const link = await cluster.link(who);
      disturb(link, random);
      await passed(LINK_MS);
      link.mend();
      return { what: who };
    },
  };
}

/** All that is done to a cluster. */
export const FAULTS: readonly Fault[] = [
  replicaKilled,
  replicaStopped,
  replicaPaused,
  workerKilled,
  workerPaused,
  hostKilled,
  hostWithWorkersKilled,
  hostPaused,
  natsKilled,
  natsPaused,
  natsLameDuck,
  linkFault('link cut', (link) => link.cut()),
  linkFault('link held to NATS', (link) => link.hold('out')),
  linkFault('link held from NATS', (link) => link.hold('in')),
  linkFault('link slow', (link, random) => link.delay(50 + random() * 400)),
];

async function restart(cluster: Cluster, server: TestNatsServer): Promise<void> {
  await server.start();
  await inSync(cluster);
}

/** Resolves when the journals have a leader and every copy has all of it: before, another loss would be one too many. */
async function inSync(cluster: Cluster): Promise<void> {
  await eventually(async () => {
    const message = await cluster.bus.request('$JS.API.STREAM.INFO.MUSTER_test', new Uint8Array(0), { timeoutMs: 2_000 });
    const { cluster: copies } = decode(message.data) as { readonly cluster?: Copies };
    if (cluster.servers.length === 1) return true;
    return copies?.leader !== undefined && copies.replicas?.every(({ current, offline }) => current && offline !== true) === true;
  }, SLOW);
}

interface Copies {
  readonly leader?: string;
  readonly replicas?: readonly { readonly current: boolean; readonly offline?: boolean }[];
}

async function slotsOn(cluster: Cluster, kind: HostKind): Promise<readonly string[]> {
  const pools = kind === 'process' ? ['sql'] : ['plenty', 'scarce'];
  return (await Promise.all(pools.map((pool) => cluster.slots(pool)))).flat().map(({ slot }) => slot);
}

function nameOf(cluster: Cluster, server: TestNatsServer): string {
  return `n${cluster.servers.indexOf(server) + 1}`;
}

function pick<T>(all: readonly T[], random: () => number): T {
  const one = all[Math.floor(random() * all.length)];
  if (one === undefined) throw new Error('there is nothing to choose from');
  return one;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}
