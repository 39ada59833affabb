// One simulated process's way to the `MemoryJournalServer`, over the link of its bus.
//
//   J1. An append whose question or answer is lost, or whose link breaks, is `unknown`: it may have landed.
//   J2. A follower gets every stored record once and in order, whatever is lost on the way; after the stream was seen to
//       have a lower tail, or to be another one, all of it again.
import { MusterError } from '@muster/protocol';
import type { Timer } from '../clock.ts';
import type { AppendOptions, AppendOutcome, Journal, JournalFollower, JournalMessage } from '../journal.ts';
import type { Subscription } from '../message-bus.ts';
import type { MemoryBus } from './memory-bus.ts';
import type { MemoryJournalServer } from './memory-journal-server.ts';

/** The name of the journal's server in the network's hops. */
export const JOURNAL_HOP = 'journal';

const READ_TIMEOUT_MS = 5000;
/** What a follower that hears nothing does: it asks. */
const HEARTBEAT_MS = 1000;
/** Records a follower is given in one turn. */
const BATCH_MAX = 256;

/** A journal on memory. Faults come from the bus's link and the network's `transit` (hops to and from `journal`). */
export class MemoryJournal implements Journal {
  readonly #bus: MemoryBus;
  readonly #server: MemoryJournalServer;

  constructor(options: { readonly bus: MemoryBus; readonly server: MemoryJournalServer }) {
    this.#bus = options.bus;
    this.#server = options.server;
  }

  get recordBytesMax(): number {
    return this.#server.recordBytesMax;
  }

  async append(shard: string, data: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
    return this.#call(
      shard,
      options.timeoutMs,
      () => this.#server.append(shard, data, options.expectedSeq, options.rollup === true),
      (why) => ({ kind: 'unknown', message: why }),
    );
  }

  async last(shard: string): Promise<JournalMessage | undefined> {
    return this.#read(shard, () => this.#server.last(shard));
  }

  async next(shard: string, fromSeq: number): Promise<JournalMessage | undefined> {
    return this.#read(shard, () => this.#server.next(shard, fromSeq));
  }

  async putPart(shard: string, part: string, data: Uint8Array): Promise<void> {
    return this.#read(shard, () => this.#server.putPart(shard, part, data));
  }

  async getPart(shard: string, part: string): Promise<Uint8Array | undefined> {
    return this.#read(shard, () => this.#server.getPart(shard, part));
  }

  async deletePart(shard: string, part: string): Promise<void> {
    return this.#read(shard, () => this.#server.deletePart(shard, part));
  }

  async listParts(shard: string): Promise<readonly string[]> {
    return this.#read(shard, () => this.#server.listParts(shard));
  }

  async follow(follower: JournalFollower): Promise<Subscription> {
    return new MemoryFeed(this.#bus, this.#server, follower);
  }

  async #read<T>(shard: string, act: () => T): Promise<T> {
    return this.#call(shard, READ_TIMEOUT_MS, act, (why) => {
      throw new MusterError('journal-unavailable', `${shard}: ${why}`);
    });
  }

  /** Carries `act` to the server and its result back; `fail` makes the outcome where that is not known. */
  async #call<T>(shard: string, timeoutMs: number, act: () => T, fail: (why: string) => T): Promise<T> {
    const bus = this.#bus;
    const { link, network } = bus;
    if (link === undefined) return fail('the link is down');
    const outcome = await new Promise<{ readonly result: T } | { readonly why: string }>((resolve) => {
      let timer: Timer | undefined;
      let status: Subscription | undefined;
      const settle = (value: { readonly result: T } | { readonly why: string }): void => {
        timer?.cancel();
        status?.unsubscribe();
        resolve(value);
      };
      timer = bus.clock.setTimer(timeoutMs, () => settle({ why: `no answer in ${timeoutMs} ms` }));
      status = bus.onStatus((now) => {
        if (now === 'disconnected') settle({ why: 'the link broke' });
      });
      network.carry({ from: bus.name, to: JOURNAL_HOP, subject: shard }, () => {
        const result = act();
        const arrive = (): void => {
          if (bus.link === link) settle({ result });
        };
        network.carry({ from: JOURNAL_HOP, to: bus.name, subject: shard }, arrive, bus.clock);
      });
    });
    return 'result' in outcome ? outcome.result : fail(outcome.why);
  }
}

/** Gives a follower what is new, each time that the server, the link or the heartbeat says that something may be. */
class MemoryFeed implements Subscription {
  readonly #bus: MemoryBus;
  readonly #server: MemoryJournalServer;
  readonly #follower: JournalFollower;
  readonly #subscriptions: Subscription[];
  #heartbeat: Timer;
  #isEnded = false;
  #isOnItsWay = false;
  #seenSeq = 0;
  #generation: number;
  #caughtUpAt: number | undefined;

  constructor(bus: MemoryBus, server: MemoryJournalServer, follower: JournalFollower) {
    this.#bus = bus;
    this.#server = server;
    this.#follower = follower;
    this.#generation = server.generation;
    this.#caughtUpAt = server.lastSeq;
    this.#subscriptions = [
      server.onChange(() => this.#wake()),
      bus.onStatus((status) => {
        this.#isOnItsWay = false;
        if (status === 'connected') this.#wake();
      }),
    ];
    this.#heartbeat = this.#beat();
    this.#wake();
  }

  unsubscribe(): void {
    this.#isEnded = true;
    this.#heartbeat.cancel();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #beat(): Timer {
    return this.#bus.clock.setTimer(HEARTBEAT_MS, () => {
      this.#isOnItsWay = false;
      this.#wake();
      this.#heartbeat = this.#beat();
    });
  }

  #wake(): void {
    const { link } = this.#bus;
    if (this.#isEnded || this.#isOnItsWay || link === undefined) return;
    this.#isOnItsWay = true;
    const arrive = (): void => {
      if (this.#bus.link !== link) return;
      this.#isOnItsWay = false;
      this.#deliver();
    };
    this.#bus.network.carry({ from: JOURNAL_HOP, to: this.#bus.name, subject: 'follow' }, arrive, this.#bus.clock);
  }

  #deliver(): void {
    const server = this.#server;
    if (server.generation !== this.#generation || server.lastSeq < this.#seenSeq) {
      const reason = `the stream ends at ${server.lastSeq}, ${this.#seenSeq} was seen`;
      this.#generation = server.generation;
      this.#seenSeq = 0;
      this.#caughtUpAt = server.lastSeq;
      if (!this.#isEnded) this.#follower.reset(reason);
    }
    const messages = server.after(this.#seenSeq, BATCH_MAX);
    for (const message of messages) {
      if (this.#isEnded) return;
      this.#seenSeq = message.seq;
      this.#follower.message(message);
    }
    if (messages.length === BATCH_MAX) {
      this.#wake();
      return;
    }
    this.#seenSeq = Math.max(this.#seenSeq, server.lastSeq);
    if (this.#caughtUpAt !== undefined && this.#seenSeq >= this.#caughtUpAt && !this.#isEnded) {
      this.#caughtUpAt = undefined;
      this.#follower.caughtUp();
    }
  }
}
