// The runtime under faults, from seeds: replicas that are killed, stand still and are cut off, messages that are late, lost
// and doubled, appends that fail in every way. What its clients were told must be true all the same.
import { SeededRandom } from '@muster/ports';
import { subjects } from '@muster/protocol';
import { expect, it } from 'vitest';
import { assign, emit, setup } from 'xstate';
import { type ActorAnswer, actorShard, defineActor } from './actor-shard.ts';
import type { Shadow } from './contract.ts';
import { type Replica, TestCluster } from './test-cluster.ts';

const SEEDS = 25;
const FAULTY_MS = 40_000;
const CLIENTS = 6;

const counter = defineActor({
  kind: 'counter',
  startOnFirstEvent: () => undefined,
  machine: setup({
    types: { context: {} as { readonly count: number }, events: {} as { readonly type: 'add' | 'peek' } },
    actions: {
      add: assign(({ context }) => ({ count: context.count + 1 })),
      say: emit(({ context }) => ({ type: 'reply', value: context.count })),
    },
  }).createMachine({
    context: { count: 0 },
    initial: 'on',
    states: { on: { on: { add: { actions: ['add', 'say'] }, peek: { actions: 'say' } } } },
  }),
});
const shards = ['one', 'two'].map((shard) => actorShard({ shard, kinds: [counter], answersMax: 100_000 }));

class Simulation {
  readonly cluster: TestCluster;
  readonly random: SeededRandom;
  readonly live = new Map<string, Replica>();
  /** Adds that clients began, and the highest count that one was told, by shard. */
  readonly begun = new Map<string, number>();
  readonly told = new Map<string, number>();
  readonly answers = new Map<string, ActorAnswer>();
  readonly problems: string[] = [];
  isHealed = false;
  #names = 0;
  #cut = new Set<string>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.cluster = new TestCluster({
      recordBytesMax: 16 * 1024,
      transit: ({ from, to }) => {
        if (this.isHealed) return [1];
        if (this.#cut.has(`${from}>${to}`)) return [];
        const chance = this.random.next();
        if (chance < 0.01) return [];
        if (chance < 0.02) return [1, 15];
        return [this.random.next() * (chance < 0.1 ? 60 : 4)];
      },
    });
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random.next() * items.length)] as T;
  }

  async startReplica(): Promise<void> {
    const replica = await this.cluster.start(`r${this.#names++}`, shards, { snapshotBytesMin: 8_000, moveAfterMs: 2_000, stayMs: 3_000 });
    replica.journal.choose = () => {
      const chance = this.isHealed ? 1 : this.random.next();
      if (chance < 0.004) return { kind: 'acknowledgement-lost' };
      if (chance < 0.008) return { kind: 'lost' };
      if (chance < 0.012) return { kind: 'late', afterMs: this.random.next() * 4_000 };
      if (chance < 0.02) return { kind: 'not-stored', reason: 'no-responders' };
      return undefined;
    };
    this.live.set(replica.name, replica);
  }

  /** One fault, or none. */
  async fault(): Promise<void> {
    const replica = this.pick([...this.live.values()]);
    const chance = this.random.next();
    if (chance < 0.15) {
      this.live.delete(replica.name);
      replica.kill();
      await this.startReplica();
    } else if (chance < 0.35) {
      replica.pauseFor(200 + this.random.next() * 5_000);
    } else if (chance < 0.45) {
      replica.bus.disconnect();
      this.cluster.clock.setTimer(this.random.next() * 4_000, () => this.live.has(replica.name) && replica.bus.reconnect());
    } else if (chance < 0.6) {
      const ways = [
        `${replica.name}>journal`,
        `journal>${replica.name}`,
        `server>${replica.name}`,
        ...[...this.live.keys()].map((to) => `${replica.name}>${to}`),
      ];
      for (const way of ways) if (this.random.next() < 0.6) this.#cut.add(way);
      this.cluster.clock.setTimer(this.random.next() * 4_000, () => this.#cut.clear());
    } else if (chance < 0.65) {
      this.live.delete(replica.name);
      void replica.runtime.stop(3_000).then(() => replica.kill());
      await this.startReplica();
    }
  }

  /** Adds and looks, each asked until it is answered; holds every answer to what was told before it was asked. */
  async client(client: Replica, name: number): Promise<void> {
    for (let n = 0; !this.isHealed; n++) {
      const shard = this.pick(['one', 'two']);
      const type = this.random.next() < 0.5 ? 'add' : 'peek';
      const id = `${name}-${n}`;
      const least = this.told.get(shard) ?? 0;
      if (type === 'add') this.begun.set(shard, (this.begun.get(shard) ?? 0) + 1);
      const body = { to: 'counter/c', event: { type } };
      const answer = this.random.next() < 0.5 ? await this.#ask(client, shard, body, id) : await this.#askRaw(client, shard, body, id);
      const most = this.begun.get(shard) ?? 0;
      const count = answer.ok ? (answer.reply as number) : Number.NaN;
      const isTrue = count >= (type === 'add' ? least + 1 : least) && count <= most;
      if (!isTrue) this.problems.push(`${shard} ${id} ${type}: told ${count}, at least ${least} and at most ${most} can be true`);
      this.told.set(shard, Math.max(this.told.get(shard) ?? 0, count));
      if (type === 'add') this.answers.set(`${shard}/${id}`, answer);
      await this.cluster.clock.settle();
      await this.#pause(this.random.next() * 30);
    }
  }

  async #ask(client: Replica, shard: string, body: unknown, id: string): Promise<ActorAnswer> {
    for (;;) {
      const asked = await client.runtime.ask(shard, body, { timeoutMs: 3_000, id }).catch(() => undefined);
      if (asked !== undefined) return asked.value as ActorAnswer;
    }
  }

  /** Takes whatever says that it is an answer, also of a replica that only believes that it is the owner. */
  async #askRaw(client: Replica, shard: string, body: unknown, id: string): Promise<ActorAnswer> {
    for (;;) {
      const data = Buffer.from(JSON.stringify({ v: 1, id, deadlineMs: 10_000, body }));
      const message = await client.bus.request(subjects.shardCommand(shard), data, { timeoutMs: 1_000 }).catch(() => undefined);
      const said =
        message === undefined ? undefined : (JSON.parse(Buffer.from(message.data).toString()) as { readonly answer?: ActorAnswer });
      if (said?.answer !== undefined) return said.answer;
      await this.#pause(20 + this.random.next() * 100);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.cluster.clock.setTimer(ms, resolve));
  }
}

function contents(shadow: Shadow | undefined): string {
  const answers = { kind: '_answers', parse: (value: unknown) => value };
  return JSON.stringify([
    shadow?.owner,
    shadow?.epoch,
    shadow?.seq,
    [...(shadow?.list(counter) ?? [])],
    [...(shadow?.list(answers) ?? [])],
  ]);
}

it.each(Array.from({ length: SEEDS }, (_, at) => at + 1))(
  'tells nothing but the truth, and loses nothing (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const simulation = new Simulation(seed);
    const { cluster } = simulation;
    const client = await cluster.start('client');
    for (let n = 0; n < 3; n++) await simulation.startReplica();
    const clients = Array.from({ length: CLIENTS }, (_, name) => simulation.client(client, name));
    const endMs = cluster.clock.monotonicMs() + FAULTY_MS;
    while (cluster.clock.monotonicMs() < endMs) {
      await cluster.clock.run(200 + simulation.random.next() * 1_500);
      await simulation.fault();
    }
    simulation.isHealed = true;
    await cluster.clock.run(15_000);
    for (const { bus } of simulation.live.values()) bus.reconnect();
    await cluster.clock.resolve(Promise.all(clients));
    expect(simulation.problems).toEqual([]);
    for (const shard of ['one', 'two']) {
      const asked = client.runtime.ask(shard, { to: 'counter/c', event: { type: 'peek' } }, { timeoutMs: 20_000 });
      const { value } = await cluster.clock.resolve(asked);
      await cluster.clock.run(100);
      // Every add was executed, and none twice.
      expect(value).toMatchObject({ reply: simulation.begun.get(shard) });
      const owners = [...simulation.live.values()].filter(({ runtime }) => runtime.isOwned(shard));
      expect(owners).toHaveLength(1);
      // All that follow hold the same.
      const [first, ...others] = [...simulation.live.values(), client].map(({ runtime }) => contents(runtime.shadow(shard)));
      for (const other of others) expect(other).toBe(first);
    }
    expect(simulation.answers.size).toBeGreaterThan(100);
  },
);
