// A cluster on the memory twins, for the tests of this package: replicas that can be stopped, paused and cut off.
import {
  type Clock,
  FaultyJournal,
  ManualClock,
  MemoryBus,
  MemoryJournal,
  MemoryJournalServer,
  MemoryLogger,
  MemoryMetrics,
  MemoryNetwork,
  type MemoryNetworkOptions,
  SeededRandom,
  type Timer,
} from '@muster/ports';
import { assign, emit, setup } from 'xstate';
import { type ActorAnswer, actorShard, defineActor } from './actor-shard.ts';
import type { Runtime, RuntimeOptions, ShardDefinition } from './contract.ts';
import { startRuntime } from './runtime.ts';

type AccountEvent =
  | { readonly type: 'deposit'; readonly amount: number }
  | { readonly type: 'withdraw'; readonly amount: number }
  | { readonly type: 'freeze'; readonly forMs: number }
  | { readonly type: 'thaw' }
  | { readonly type: 'break' };

/** A bank account that never goes negative. */
export const account = defineActor({
  kind: 'account',
  startOnFirstEvent: () => ({}),
  machine: setup({
    types: {
      context: {} as { readonly balance: number },
      events: {} as AccountEvent,
      emitted: {} as { type: string; [field: string]: unknown },
    },
    guards: {
      isCovered: ({ context, event }) => event.type === 'withdraw' && context.balance >= event.amount,
    },
    actions: {
      add: assign(({ context, event }) => (event.type === 'deposit' ? { balance: context.balance + event.amount } : {})),
      take: assign(({ context, event }) => (event.type === 'withdraw' ? { balance: context.balance - event.amount } : {})),
      sayBalance: emit(({ context }) => ({ type: 'reply', value: context.balance })),
      notify: emit(({ context }) => ({ type: 'notify', balance: context.balance })),
      armThaw: emit(({ event }) => ({
        type: 'timer.set',
        timer: 'thaw',
        delayMs: event.type === 'freeze' ? event.forMs : 0,
        event: { type: 'thaw' },
        clock: 'internal',
      })),
      fail: () => {
        throw new Error('broken');
      },
    },
  }).createMachine({
    id: 'account',
    context: { balance: 0 },
    initial: 'open',
    states: {
      open: {
        on: {
          deposit: { actions: ['add', 'sayBalance', 'notify'] },
          withdraw: { guard: 'isCovered', actions: ['take', 'sayBalance'] },
          freeze: { target: 'frozen', actions: 'armThaw' },
          break: { actions: 'fail' },
        },
      },
      frozen: { on: { thaw: 'open' } },
    },
  }),
});

/** One simulated process. */
export interface Replica {
  readonly name: string;
  readonly bus: MemoryBus;
  readonly journal: FaultyJournal;
  readonly logger: MemoryLogger;
  readonly metrics: MemoryMetrics;
  readonly runtime: Runtime;
  /** As `kill -9`: its link is gone for good. */
  kill(): void;
  /** As SIGSTOP and SIGCONT: nothing runs in it, and what it is sent arrives when it goes on. */
  pauseFor(ms: number): void;
}

/** The clock of a process that can stand still while time goes on. */
class PausableClock implements Clock {
  readonly #inner: ManualClock;
  #held: (() => void)[] = [];
  goesOnAtMs = 0;

  constructor(inner: ManualClock) {
    this.#inner = inner;
  }

  get isPaused(): boolean {
    return this.#inner.monotonicMs() < this.goesOnAtMs;
  }

  pauseFor(ms: number): void {
    this.goesOnAtMs = this.#inner.monotonicMs() + ms;
    this.#inner.setTimer(ms, () => {
      const held = this.#held;
      this.#held = [];
      for (const fire of held) fire();
    });
  }

  monotonicMs(): number {
    return this.#inner.monotonicMs();
  }

  wallMs(): number {
    return this.#inner.wallMs();
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    let isLive = true;
    const timer = this.#inner.setTimer(delayMs, () => {
      if (this.isPaused) this.#held.push(() => isLive && fire());
      else fire();
    });
    return {
      cancel: () => {
        isLive = false;
        timer.cancel();
      },
    };
  }
}

export class TestCluster {
  readonly clock = new ManualClock();
  readonly server: MemoryJournalServer;
  readonly network: MemoryNetwork;
  readonly replicas: Replica[] = [];
  readonly #clocks = new Map<string, PausableClock>();
  #seed = 1;

  constructor(
    options: {
      readonly recordBytesMax?: number;
      readonly transit?: NonNullable<MemoryNetworkOptions['transit']>;
      readonly isOrdered?: boolean;
    } = {},
  ) {
    const { recordBytesMax, transit = () => [1], isOrdered = true } = options;
    this.server = new MemoryJournalServer({ clock: this.clock, ...(recordBytesMax === undefined ? {} : { recordBytesMax }) });
    this.network = new MemoryNetwork({
      clock: this.clock,
      isOrdered,
      transit: (hop) => {
        const paused = this.#clocks.get(hop.to);
        const waitMs = Math.max(0, (paused?.goesOnAtMs ?? 0) - this.clock.monotonicMs());
        return transit(hop).map((delayMs) => delayMs + waitMs);
      },
    });
  }

  async start(name: string, definitions: readonly ShardDefinition[] = [], options: Partial<RuntimeOptions> = {}): Promise<Replica> {
    const clock = new PausableClock(this.clock);
    this.#clocks.set(name, clock);
    const bus = new MemoryBus({ network: this.network, name, clock });
    const journal = new FaultyJournal(new MemoryJournal({ bus, server: this.server }), { clock });
    const logger = new MemoryLogger();
    const metrics = new MemoryMetrics();
    const starting = startRuntime({
      replica: name,
      cluster: 'test',
      bus,
      journal,
      clock,
      random: new SeededRandom(this.#seed++),
      logger,
      metrics,
      ...options,
    });
    const runtime = await this.clock.resolve(starting);
    runtime.define(definitions);
    const replica: Replica = {
      name,
      bus,
      journal,
      logger,
      metrics,
      runtime,
      kill: () => bus.disconnect(),
      pauseFor: (ms) => clock.pauseFor(ms),
    };
    this.replicas.push(replica);
    return replica;
  }

  /** A replica that owns the shard `bank`. */
  async startBank(name = 'a', options: Partial<RuntimeOptions> = {}): Promise<Replica> {
    const replica = await this.start(name, [bank()], options);
    await this.clock.runUntil(() => replica.runtime.isOwned('bank'));
    return replica;
  }

  owner(shard = 'bank'): Replica | undefined {
    return this.replicas.find(({ runtime, bus }) => bus.isConnected && runtime.isOwned(shard));
  }
}

/** The shard of the accounts. */
export function bank(options: Partial<Parameters<typeof actorShard>[0]> = {}): ShardDefinition {
  return actorShard({ shard: 'bank', kinds: [account], ...options });
}

/** Gives an account an event, and the answer. */
export async function ask(replica: Replica, clock: ManualClock, to: string, event: AccountEvent, id?: string): Promise<ActorAnswer> {
  const asked = replica.runtime.ask('bank', { to: `account/${to}`, event }, { timeoutMs: 10_000, ...(id === undefined ? {} : { id }) });
  return (await clock.resolve(asked)).value as ActorAnswer;
}
