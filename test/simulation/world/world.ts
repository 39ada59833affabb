// The whole cluster of one run: NATS, the yard, replicas, clients, and the troubles that are on.
//
//   W1. All chance comes from the plan's seed; processes have random numbers of their own, faults too.
//   W2. Nothing but the virtual clock makes anything happen.
import {
  type Capacity,
  type LogFields,
  type Logger,
  type MemoryBus,
  MemoryJournalServer,
  MemoryNetwork,
  SeededRandom,
} from '@muster/ports';
import { encode, parseClusterConfig, subjects } from '@muster/protocol';
import type { ClusterConfig } from '@muster/domain';
import type { Random } from '@muster/ports';
import { Referee } from '../check/referee.ts';
import type { Plan } from '../plan.ts';
import { Trace } from '../trace.ts';
import { DriverLink, type DriverTrouble } from './driver-link.ts';
import { Machine } from './machine.ts';
import { ObservedBus } from './observed-bus.ts';
import { SimClient } from './sim-client.ts';
import { SimClock } from './sim-clock.ts';
import { type JournalTrouble, SimJournal } from './sim-journal.ts';
import { SimReplica } from './sim-replica.ts';
import { SimWorker, type WorkerTrouble } from './sim-worker.ts';
import { Troubles } from './troubles.ts';
import { DRIVER, NATS, type Noise, Weather } from './weather.ts';
import { type StartFate, Yard } from './yard.ts';

/** What starts come to, while it lasts; chances of one start. */
export interface StartTrouble {
  readonly fail: number;
  readonly hang: number;
  readonly slow: number;
  readonly slowMs: number;
}

const START_MS = 150;
const WALL_OFF_MS = 600_000;

export class World {
  readonly plan: Plan;
  readonly clock = new SimClock();
  readonly trace = new Trace(() => this.clock.monotonicMs());
  readonly server: MemoryJournalServer;
  readonly network: MemoryNetwork;
  readonly weather: Weather;
  readonly troubles = new Troubles(this.clock);
  readonly yard: Yard;
  readonly referee: Referee;
  readonly replicas: SimReplica[] = [];
  readonly clients: SimClient[] = [];
  /** Faults that happened, by kind. */
  readonly faults = new Map<string, number>();
  isClosing = false;
  #isCrashDue = false;
  /** Nobody starts what is older than what has written. */
  #isHealed = false;
  readonly #random: SeededRandom;
  readonly #operator: Machine;
  #config: ClusterConfig;
  #yaml: string;
  #made = 0;
  #seen = 0;
  /** By replica; undefined: all of them. */
  readonly #journalTroubles = new Set<{ readonly at: string | undefined; readonly trouble: JournalTrouble }>();
  readonly #driverTroubles = new Set<DriverTrouble>();
  readonly #workerTroubles = new Set<WorkerTrouble>();
  readonly #startTroubles = new Set<StartTrouble>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.#random = new SeededRandom(plan.seed * 7 + 1);
    this.#yaml = plan.config;
    this.#config = parse(plan.config);
    const { clock } = this;
    this.server = new MemoryJournalServer({ clock, recordBytesMax: plan.recordBytesMax });
    this.weather = new Weather(new SeededRandom(plan.seed * 7 + 2), (kind) => this.count(kind));
    this.network = new MemoryNetwork({
      clock,
      isOrdered: plan.isOrdered,
      random: new SeededRandom(plan.seed * 7 + 3),
      transit: (hop) => this.weather.transit(hop),
    });
    this.yard = new Yard({
      world: clock,
      fate: () => this.#fate(),
      play: (spec, onEnd) =>
        new SimWorker({
          machine: this.#machine(`worker-${spec.slot}`),
          spec,
          random: this.#fork(),
          witness: this.#workerWitness,
          trouble: () => last(this.#workerTroubles),
          count: (kind) => this.count(kind),
          onEnd,
        }),
      began: (spec) => {
        this.trace.add(`worker ${spec.slot} begins`);
        this.referee.began(spec.pool);
      },
      ended: (spec, reason) => this.trace.add(`worker ${spec.slot} ends: ${reason}`),
      destroying: (slot) => {
        this.trace.add(`worker ${slot} is to go`);
        this.referee.destroying(slot);
      },
    });
    this.referee = new Referee(this);
    this.server.onChange(() => this.#stored());
    this.#operator = this.#machine('operator');
  }

  // --- what faults choose from --------------------------------------------------------------------------------------

  get liveReplicas(): readonly SimReplica[] {
    return this.replicas.filter(({ isAlive, isLeaving }) => isAlive && !isLeaving);
  }
  get replicaNames(): readonly string[] {
    return this.replicas.filter(({ isAlive }) => isAlive).map(({ name }) => name);
  }
  get liveClients(): readonly SimClient[] {
    return this.clients.filter(({ machine }) => machine.isAlive);
  }
  get clientNames(): readonly string[] {
    return this.liveClients.map(({ machine }) => machine.name);
  }
  get workerNames(): readonly string[] {
    return this.yard.running.flatMap(({ worker }) => (worker === undefined ? [] : [worker.machine.name]));
  }
  get machines(): readonly Machine[] {
    const workers = this.yard.running.flatMap(({ worker }) => (worker === undefined ? [] : [worker.machine]));
    return [...this.replicas, ...this.liveClients]
      .map(({ machine }) => machine)
      .filter(({ isAlive }) => isAlive)
      .concat(workers);
  }
  get buses(): readonly MemoryBus[] {
    return this.machines.map(({ bus }) => bus);
  }

  // --- what happens -------------------------------------------------------------------------------------------------

  count(kind: string): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
  }

  after(ms: number, run: () => void): void {
    this.clock.setTimer(ms, run);
  }

  addReplica(options: { readonly name?: string; readonly version?: number }): SimReplica {
    const { plan, server, network, yard, clock } = this;
    const name = options.name ?? `replica-${this.#made++}`;
    const newest = this.replicas.some((one) => one.version === 2) ? 2 : 1;
    const version = this.#isHealed ? newest : (options.version ?? newest);
    const machine = this.#machine(name);
    const journal = new SimJournal({
      machine,
      server,
      world: clock,
      random: this.#fork(),
      version,
      count: (kind) => this.count(kind),
      trouble: () => this.#journalTrouble(name),
      appending: (shard, data) => {
        this.trace.add(`${name} appends to ${shard}`);
        this.referee.journal.appending(data);
      },
      settled: (shard, { kind }) => this.trace.add(`${name} hears of ${shard}: ${kind}`),
    });
    const driver = new DriverLink({
      machine,
      network,
      yard,
      random: this.#fork(),
      trouble: () => last(this.#driverTroubles),
      count: (kind) => this.count(kind),
      limit: () => this.#limit(),
      called: (replica, call, slot) => {
        this.trace.add(`${replica} calls ${call} ${slot}`);
        this.referee.called(replica, call, slot);
      },
    });
    const replica = new SimReplica({
      machine,
      bus: new ObservedBus(machine, this.#busWitness, version),
      journal,
      driver,
      logger: this.#logger(name, {}),
      config: this.#config,
      version,
      runtime: { snapshotBytesMin: plan.snapshotBytesMin, moveAfterMs: 2_000, stayMs: 4_000 },
    });
    this.replicas.push(replica);
    this.troubles.strike(name);
    this.trace.add(`${name} starts, version ${version}`);
    void replica.start();
    return replica;
  }

  killReplica(replica: SimReplica): void {
    this.trace.add(`${replica.name} is killed`);
    this.troubles.strike(replica.name);
    replica.kill();
  }

  leave(replica: SimReplica): void {
    this.trace.add(`${replica.name} leaves`);
    this.troubles.begin(replica.name);
    void replica.leave();
  }

  addClient(): SimClient {
    const { plan } = this;
    const client = new SimClient({
      machine: this.#machine(`client-${this.#made++}`),
      random: this.#fork(),
      witness: this.#clientWitness,
      habits: plan.habits,
      count: (kind) => this.count(kind),
      isClosing: () => this.isClosing,
    });
    this.clients.push(client);
    client.start();
    return client;
  }

  killClient(client: SimClient): void {
    this.trace.add(`${client.machine.name} is killed`);
    client.machine.kill();
    this.referee.demand.clientGone(client.machine.name);
  }

  cut(from: string, to: string): () => void {
    const one = { from, to };
    this.weather.cuts.add(one);
    const ends = [from, to].filter((name) => name !== DRIVER && name !== NATS).map((name) => this.troubles.begin(name));
    return () => {
      this.weather.cuts.delete(one);
      for (const end of ends) end();
    };
  }
  noise(noise: Noise): () => void {
    this.weather.noises.add(noise);
    const end = this.troubles.begin(noise.at);
    return () => {
      this.weather.noises.delete(noise);
      end();
    };
  }
  journalTrouble(at: string | undefined, trouble: JournalTrouble): () => void {
    const entry = { at, trouble };
    this.#journalTroubles.add(entry);
    const end = this.troubles.begin(at);
    return () => {
      this.#journalTroubles.delete(entry);
      end();
    };
  }
  /** Links break; at its end each comes back a while later. */
  linkDown(buses: readonly MemoryBus[], laterMs: () => number): () => void {
    const ends = buses.map((bus) => {
      bus.disconnect();
      return this.troubles.begin(bus.name, 'link');
    });
    return () => {
      for (const [at, bus] of buses.entries()) {
        this.after(laterMs(), () => {
          bus.reconnect();
          ends[at]?.();
        });
      }
    };
  }
  pause(machine: Machine): () => void {
    machine.pause();
    const end = this.troubles.begin(machine.name, 'pause');
    return () => {
      machine.resume();
      end();
    };
  }
  driverTrouble(trouble: DriverTrouble): () => void {
    this.#driverTroubles.add(trouble);
    return () => this.#driverTroubles.delete(trouble);
  }
  workerTrouble(trouble: WorkerTrouble): () => void {
    this.#workerTroubles.add(trouble);
    return () => this.#workerTroubles.delete(trouble);
  }
  startTrouble(trouble: StartTrouble): () => void {
    this.#startTroubles.add(trouble);
    return () => this.#startTroubles.delete(trouble);
  }

  /** A process that no fault knows. */
  addMachine(name: string): Machine {
    return this.#machine(name);
  }

  /** The next worker that is told whose it is dies of it. */
  crashOnActivation(): void {
    this.#isCrashDue = true;
  }

  /** An operator gives a pool another setting. */
  apply(pool: string, setting: string): void {
    const key = setting.split(':')[0] ?? '';
    const others = this.#yaml.split('\n').filter((line) => !line.startsWith(`    ${key}:`));
    this.#yaml = others.join('\n').replace(`  ${pool}:\n`, `  ${pool}:\n    ${setting}\n`);
    this.#apply();
  }

  /** An operator applies another configuration. */
  reconfigure(random: Random): void {
    const chance = random.next();
    const yaml = this.#yaml;
    if (chance < 0.3) this.#yaml = yaml.replace(/floor: \d+/, `floor: ${Math.floor(random.next() * 6)}`);
    else if (chance < 0.5) this.#yaml = yaml.replace(/org-0: \{ max: \d+/, `org-0: { max: ${1 + Math.floor(random.next() * 4)}`);
    else if (chance < 0.65) this.#yaml = yaml.replace(/max: \d+/, `max: ${4 + Math.floor(random.next() * 8)}`);
    else
      this.#yaml = yaml.replace(
        /recycle: \S+\n(?: {4}worker: .*\n)?/,
        (was) => `${was.split('\n')[0]}\n    worker: { env: { V: "${this.#made++}" } }\n`,
      );
    this.#apply();
  }

  #apply(): void {
    this.#config = parse(this.#yaml);
    const request = encode({ type: 'apply', yaml: withCluster(this.#yaml) });
    this.#operator.bus.request(subjects.admin(), request, { timeoutMs: 5_000 }).then(
      () => this.trace.add('a configuration was applied'),
      () => this.trace.add('a configuration was perhaps applied'),
    );
  }

  /** A power failure of a NATS that does not sync: the newest writes are gone, and everybody has to connect again. */
  loseWrites(writes: number, random: Random): void {
    const { buses, server } = this;
    const seq = Math.max(0, server.lastSeq - writes);
    this.trace.add(`NATS loses all after ${seq}`);
    for (const bus of buses) bus.disconnect();
    server.loseTail(seq);
    this.#seen = seq;
    this.referee.journal.lost(seq, (shard) => server.records(shard).length === 0);
    for (const bus of buses) this.after(200 + random.next() * 2_000, () => bus.reconnect());
  }

  /** All that is wrong ends: links are whole, everybody runs, and there are as many replicas as at the start. */
  heal(): void {
    this.trace.add('all is healed');
    this.#isHealed = true;
    this.weather.clear();
    this.troubles.end();
    for (const troubles of [this.#journalTroubles, this.#driverTroubles, this.#workerTroubles, this.#startTroubles]) troubles.clear();
    for (const machine of this.machines) machine.resume();
    for (const bus of this.buses) bus.reconnect();
    // A cluster whose newer replicas have written is finished upgrading.
    const version = this.replicas.some((one) => one.version === 2) ? 2 : 1;
    for (const replica of this.liveReplicas) if (replica.version < version) this.leave(replica);
    while (this.liveReplicas.length < this.plan.replicas) this.addReplica({ version });
  }

  // --- inside -------------------------------------------------------------------------------------------------------

  #limit(): Capacity {
    const { capacityMax } = this.plan;
    return capacityMax === undefined ? { kind: 'unbounded' } : { kind: 'bounded', max: capacityMax, why: 'the yard is full' };
  }

  #fate(): StartFate {
    const random = this.#random;
    const trouble = last(this.#startTroubles);
    const afterMs = START_MS * (0.3 + random.next() * 1.7);
    if (trouble === undefined) return { kind: 'starts', afterMs };
    let chance = random.next();
    const isNow = (share: number): boolean => {
      chance -= share;
      return chance < 0;
    };
    if (isNow(trouble.fail)) {
      this.count('start failed');
      return { kind: 'fails', afterMs, reason: 'exit 1' };
    }
    if (isNow(trouble.hang)) {
      this.count('start hangs');
      return { kind: 'hangs' };
    }
    if (isNow(trouble.slow)) {
      this.count('start slow');
      return { kind: 'starts', afterMs: afterMs + random.next() * trouble.slowMs };
    }
    return { kind: 'starts', afterMs };
  }

  #journalTrouble(name: string): JournalTrouble | undefined {
    for (const { at, trouble } of this.#journalTroubles) if (at === undefined || at === name) return trouble;
    return undefined;
  }

  #machine(name: string): Machine {
    const { clock, network, plan } = this;
    const random = this.#random;
    return new Machine({
      name,
      world: clock,
      network,
      seed: Math.floor(random.next() * 2 ** 31),
      rate: 1 + (random.next() * 2 - 1) * plan.drift,
      wallOffMs: (random.next() - 0.5) * WALL_OFF_MS,
    });
  }

  #fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.#random.next() * 2 ** 31));
  }

  #stored(): void {
    for (const message of this.server.after(this.#seen, Number.POSITIVE_INFINITY)) {
      this.#seen = message.seq;
      this.trace.add(`stored ${message.shard} ${message.seq} ${message.data.length}`);
      this.referee.journal.stored(message);
    }
  }

  #logger(replica: string, fields: LogFields): Logger {
    const say = (level: string) => (more: LogFields, message: string) => {
      this.trace.add(`${replica} ${level}: ${message}`);
      this.referee.logged(replica, message, { ...fields, ...more });
    };
    return {
      debug: () => undefined,
      info: say('info'),
      warn: say('warn'),
      error: say('error'),
      child: (more) => this.#logger(replica, { ...fields, ...more }),
    };
  }

  readonly #busWitness: ConstructorParameters<typeof ObservedBus>[1] = {
    said: (replica, subject, data) => this.referee.said(replica, subject, data),
    subscribed: (replica, subject) => this.referee.subscribed(replica, subject),
    received: (replica, subscription, subject, data) => this.referee.received(replica, subscription, subject, data),
    answered: (replica, subject, question, arrival, answer) => {
      this.trace.add(`${replica} answers ${subject} ${answer.length}`);
      this.referee.answered(replica, subject, question, arrival, answer);
    },
  };
  readonly #workerWitness: ConstructorParameters<typeof SimWorker>[0]['witness'] = {
    activating: (worker, context) => {
      this.trace.add(`worker ${worker.slot} activates ${context.reservation} for ${context.org}`);
      this.referee.activating(worker, context);
      if (!this.#isCrashDue) return;
      this.#isCrashDue = false;
      this.yard.end(worker.slot, 'SIGKILL');
    },
  };
  readonly #clientWitness: ConstructorParameters<typeof SimClient>[0]['witness'] = {
    asked: (request) => {
      this.trace.add(`${request.client} asks ${request.pool} for ${request.org} (${request.requestId ?? '-'})`);
      this.referee.asked(request);
    },
    told: (request, answer) => {
      const said = answer === undefined ? 'nothing' : answer.ok ? answer.reservation.id : JSON.stringify(answer);
      this.trace.add(`${request.client} is told ${said} for ${request.org} (${request.requestId ?? '-'})`);
      this.referee.told(request, answer);
    },
    lost: (request, grant, reason) => {
      this.trace.add(`${request.client} has lost ${grant.id}: ${reason}`);
      this.referee.lost(request, grant, reason);
    },
    letGo: (request, grant) => {
      this.trace.add(`${request.client} lets go of ${grant.id}`);
      this.referee.letGo(request, grant);
    },
    used: (request, grant) => this.referee.used(request, grant),
  };
}

function last<T>(items: ReadonlySet<T>): T | undefined {
  return [...items].at(-1);
}

function withCluster(yaml: string): string {
  return `cluster: { name: sim }\n${yaml}`;
}

function parse(yaml: string): ClusterConfig {
  return parseClusterConfig(withCluster(yaml)).config;
}
