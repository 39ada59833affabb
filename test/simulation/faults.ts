// Every kind of fault, and how it happens to the world. What lasts is ended by what `begin` gives back.
import type { Random } from '@muster/ports';
import type { JournalTrouble } from './world/sim-journal.ts';
import { DRIVER, NATS } from './world/weather.ts';
import type { World } from './world/world.ts';

export interface FaultTable {
  readonly kind: FaultKind;
  /** Changes what can be promised meanwhile, or the whole run: seldom, and one kind of them in a run. */
  readonly isSpecial?: boolean;
  /** It lasts up to so many times as long as others. */
  readonly longer?: number;
  begin(world: World, random: Random, forMs: number): (() => void) | undefined;
}

export type FaultKind =
  | 'noise'
  | 'noise-at-one'
  | 'cuts-are-late'
  | 'noise-on-one-kind'
  | 'one-way'
  | 'cut-off'
  | 'pair-cut'
  | 'driver-cut'
  | 'worker-cut'
  | 'client-cut'
  | 'link-down'
  | 'nats-down'
  | 'journal-trouble'
  | 'journal-away'
  | 'follower-late'
  | 'replica-paused'
  | 'replica-killed'
  | 'replica-leaves'
  | 'replica-joins'
  | 'worker-crash'
  | 'worker-paused'
  | 'workers-fail'
  | 'starts-go-wrong'
  | 'driver-trouble'
  | 'clock-jump'
  | 'client-crash'
  | 'reconfigured'
  | 'writes-lost'
  | 'versions';

const pick = <T>(random: Random, items: readonly T[]): T | undefined => items[Math.floor(random.next() * items.length)];

function cut(world: World, ...ways: readonly (readonly [string, string])[]): () => void {
  const ends = ways.map(([from, to]) => world.cut(from, to));
  return () => {
    for (const end of ends) end();
  };
}

const NO_TROUBLE: JournalTrouble = {
  acknowledgementLost: 0,
  lost: 0,
  late: 0,
  lateMs: 0,
  noResponders: 0,
  inFlight: 0,
  staleRead: 0,
  failedRead: 0,
};

const both = (one: string, other: string): readonly (readonly [string, string])[] => [
  [one, other],
  [other, one],
];

export const FAULTS: readonly FaultTable[] = [
  {
    kind: 'noise',
    begin: (world, random) =>
      world.noise({
        drop: random.next() * 0.1,
        duplicate: random.next() * 0.1,
        delay: random.next() * 0.2,
        lateMs: random.next() < 0.5 ? 60 : 2_000,
      }),
  },
  {
    kind: 'noise-at-one',
    begin: (world, random) => {
      const at = pick(random, world.replicaNames);
      return at === undefined ? undefined : world.noise({ drop: 0.2, duplicate: 0.2, delay: 0.3, lateMs: random.next() * 3_000, at });
    },
  },
  {
    kind: 'cuts-are-late',
    begin: (world, random) =>
      world.noise({ drop: 0.1, duplicate: 0.5, delay: 0.3, lateMs: 500 + random.next() * 5_000, subject: '.miss.' }),
  },
  {
    kind: 'noise-on-one-kind',
    begin: (world, random) => {
      const subject = pick(random, [
        '.cmd',
        'muster.v1.worker.',
        'muster.v1.shard.',
        '.beat',
        'muster.v1.reserv',
        'muster.v1.rene',
        'call',
        'watch',
      ]);
      return subject === undefined
        ? undefined
        : world.noise({ drop: 0.1, duplicate: 0.6, delay: 0.2, lateMs: random.next() * 4_000, subject });
    },
  },
  {
    kind: 'one-way',
    begin: (world, random) => {
      const name = pick(random, world.replicaNames);
      if (name === undefined) return undefined;
      return random.next() < 0.5 ? cut(world, [name, NATS]) : cut(world, [NATS, name]);
    },
  },
  {
    kind: 'cut-off',
    begin: (world, random) => {
      const name = pick(random, world.replicaNames);
      return name === undefined ? undefined : cut(world, ...both(name, NATS));
    },
  },
  {
    kind: 'pair-cut',
    begin: (world, random) => {
      const one = pick(random, world.replicaNames);
      const other = pick(
        random,
        [...world.replicaNames, ...world.clientNames, 'journal'].filter((name) => name !== one),
      );
      if (one === undefined || other === undefined) return undefined;
      return random.next() < 0.5 ? cut(world, ...both(one, other)) : cut(world, [one, other]);
    },
  },
  {
    kind: 'driver-cut',
    begin: (world, random) => {
      const name = pick(random, world.replicaNames);
      if (name === undefined) return undefined;
      const chance = random.next();
      if (chance < 0.3) return cut(world, [name, DRIVER]);
      return chance < 0.6 ? cut(world, [DRIVER, name]) : cut(world, ...both(name, DRIVER));
    },
  },
  {
    kind: 'worker-cut',
    longer: 4,
    begin: (world, random) => {
      const name = pick(random, world.workerNames);
      if (name === undefined) return undefined;
      const chance = random.next();
      if (chance < 0.3) return cut(world, [name, NATS]);
      return chance < 0.6 ? cut(world, [NATS, name]) : cut(world, ...both(name, NATS));
    },
  },
  {
    kind: 'client-cut',
    begin: (world, random) => {
      const name = pick(random, world.clientNames);
      if (name === undefined) return undefined;
      return random.next() < 0.5 ? cut(world, [NATS, name]) : cut(world, ...both(name, NATS));
    },
  },
  {
    kind: 'link-down',
    begin: (world, random) => {
      const bus = pick(random, world.buses);
      return bus === undefined ? undefined : world.linkDown([bus], () => 0);
    },
  },
  {
    kind: 'nats-down',
    begin: (world, random) => world.linkDown(world.buses, () => random.next() * 800),
  },
  {
    kind: 'journal-trouble',
    begin: (world, random) => {
      const share = (): number => (random.next() < 0.5 ? 0 : random.next() * 0.2);
      return world.journalTrouble(random.next() < 0.5 ? undefined : pick(random, world.replicaNames), {
        acknowledgementLost: share(),
        lost: share(),
        late: share(),
        lateMs: random.next() * 6_000,
        noResponders: share(),
        inFlight: share(),
        staleRead: share(),
        failedRead: share(),
      });
    },
  },
  {
    kind: 'journal-away',
    begin: (world) => world.journalTrouble(undefined, { ...NO_TROUBLE, lost: 0.2, noResponders: 0.8, failedRead: 1 }),
  },
  {
    kind: 'follower-late',
    begin: (world, random) => {
      const at = pick(random, world.replicaNames);
      return at === undefined
        ? undefined
        : world.noise({ drop: 0.2, duplicate: 0, delay: 0.8, lateMs: 200 + random.next() * 4_000, at, subject: 'follow' });
    },
  },
  {
    kind: 'replica-paused',
    begin: (world, random) => {
      const replica = pick(random, world.liveReplicas);
      return replica === undefined ? undefined : world.pause(replica.machine);
    },
  },
  {
    kind: 'replica-killed',
    begin: (world, random, forMs) => {
      const replica = pick(random, world.liveReplicas);
      if (replica === undefined) return undefined;
      world.killReplica(replica);
      const name = random.next() < 0.3 ? replica.name : undefined;
      world.after(forMs * random.next(), () => world.addReplica({ ...(name === undefined ? {} : { name }), version: replica.version }));
      return undefined;
    },
  },
  {
    kind: 'replica-leaves',
    begin: (world, random) => {
      const replica = pick(random, world.liveReplicas);
      if (replica === undefined || world.liveReplicas.length < 2) return undefined;
      const isTroubled = random.next() < 0.4;
      if (isTroubled) world.after(1_500, world.journalTrouble(replica.name, { ...NO_TROUBLE, acknowledgementLost: 0.5, inFlight: 0.1 }));
      world.leave(replica);
      world.after(random.next() * 3_000, () => world.addReplica({ version: replica.version }));
      return undefined;
    },
  },
  {
    kind: 'replica-joins',
    begin: (world) => {
      if (world.liveReplicas.length < 6) world.addReplica({});
      return undefined;
    },
  },
  {
    kind: 'worker-crash',
    begin: (world, random) => {
      const resident = pick(random, world.yard.running);
      if (resident !== undefined) world.yard.end(resident.spec.slot, 'SIGKILL');
      return undefined;
    },
  },
  {
    kind: 'worker-paused',
    longer: 4,
    begin: (world, random) => {
      const machine = pick(random, world.yard.running)?.worker?.machine;
      return machine === undefined ? undefined : world.pause(machine);
    },
  },
  {
    kind: 'workers-fail',
    begin: (world, random) => {
      const share = (): number => (random.next() < 0.5 ? 0 : random.next() * 0.4);
      return world.workerTrouble({
        slowActivation: share(),
        slowMs: random.next() * 2_500,
        hangingActivation: share(),
        failedActivation: share(),
        refusedRequest: share(),
        failedReset: share(),
      });
    },
  },
  {
    kind: 'starts-go-wrong',
    begin: (world, random) => {
      const share = (): number => (random.next() < 0.4 ? 0 : random.next() * 0.6);
      return world.startTrouble({ fail: share(), hang: share() / 2, slow: share(), slowMs: random.next() * 20_000 });
    },
  },
  {
    kind: 'driver-trouble',
    begin: (world, random) => {
      const share = (): number => (random.next() < 0.5 ? 0 : random.next() * 0.5);
      return world.driverTrouble({
        failedCall: share(),
        lostAnswer: share(),
        refusedCreate: share() / 2,
        staleMs: random.next() < 0.5 ? 0 : random.next() * 30_000,
        lostNews: share(),
      });
    },
  },
  {
    kind: 'clock-jump',
    begin: (world, random) => {
      const machine = pick(random, world.machines);
      if (machine !== undefined) world.troubles.strike(machine.name);
      if (random.next() < 0.5) machine?.jump(1_000 + random.next() * 20_000);
      else machine?.setWall((random.next() - 0.5) * 7_200_000);
      return undefined;
    },
  },
  {
    kind: 'client-crash',
    begin: (world, random) => {
      const client = pick(random, world.liveClients);
      if (client === undefined) return undefined;
      world.killClient(client);
      world.after(random.next() * 2_000, () => world.addClient());
      return undefined;
    },
  },
  {
    kind: 'reconfigured',
    begin: (world, random) => {
      world.reconfigure(random);
      return undefined;
    },
  },
  {
    kind: 'writes-lost',
    isSpecial: true,
    begin: (world, random) => {
      world.loseWrites(1 + Math.floor(random.next() * 25), random);
      return undefined;
    },
  },
  {
    kind: 'versions',
    isSpecial: true,
    begin: (world, random) => {
      const old = pick(
        random,
        world.liveReplicas.filter(({ version }) => version === 1),
      );
      if (old === undefined) return undefined;
      world.addReplica({ version: 2 });
      if (random.next() < 0.5) world.killReplica(old);
      else world.leave(old);
      return undefined;
    },
  },
];

const BY_KIND = new Map(FAULTS.map((fault) => [fault.kind, fault]));

/** Begins a fault; gives what ends it. */
export function beginFault(kind: FaultKind, world: World, random: Random, forMs: number): (() => void) | undefined {
  return BY_KIND.get(kind)?.begin(world, random, forMs);
}
