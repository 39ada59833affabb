// The one NATS server of a simulated world: what is published on one bus arrives on others.
//
// Owns: who is connected, who subscribes what, and what is on its way.
//   N1. At most once; in order between one sender and one receiver, unless `isOrdered` is false.
//   N2. Nothing is delivered in the turn that sent it; every delivery is a timer of the network's clock.
//   N3. What was on its way to a bus when its link broke is lost, also when the link comes back.
import { MusterError } from '@muster/protocol';
import type { Clock } from '../clock.ts';
import type { Random } from '../random.ts';
import type { MemoryBus } from './memory-bus.ts';
import { SubjectIndex } from './subject-index.ts';

/** One way of one message: from a process to another, by the name of its bus (`journal`, `latest-values`: the stores). */
export interface Hop {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
}

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  /**
   * How long each copy of a message is on its way, ms: `[]` is lost, `[0, 5]` arrives twice. Default `[0]`.
   * Read anew for each hop, so that a simulator can cut, delay and duplicate as it likes.
   */
  readonly transit?: (hop: Hop) => readonly number[];
  /** False: a message may overtake an earlier one of the same sender to the same receiver. Default true. */
  readonly isOrdered?: boolean;
  /** The largest message, bytes. Default 1 MiB, as nats-server's. */
  readonly payloadBytesMax?: number;
  /** Chooses the member of a queue group; without it they take turns. */
  readonly random?: Random;
}

export interface MemorySubscription {
  /** Copies that have been sent to it and have not arrived. */
  onTheWay: number;
  /** It drains: called when nothing is on its way any more. */
  drained?: () => void;
  readonly bus: MemoryBus;
  readonly subject: string;
  readonly queue: string | undefined;
  deliver(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>> | undefined, answer: Answer | undefined): void;
}

/** Takes an answer back to the asker. */
export type Answer = (from: MemoryBus, data: Uint8Array) => void;

const ONE_COPY: readonly number[] = [0];

/** Connects the memory buses (and journals) of several simulated processes. */
export class MemoryNetwork {
  readonly clock: Clock;
  readonly payloadBytesMax: number;
  /** May be replaced at any time. */
  transit: (hop: Hop) => readonly number[];
  readonly #isOrdered: boolean;
  readonly #random: Random | undefined;
  readonly #subscriptions = new Set<MemorySubscription>();
  readonly #exact = new Map<string, Set<MemorySubscription>>();
  readonly #wild = new SubjectIndex<MemorySubscription>();
  readonly #lastArrivalMs = new Map<string, Map<string, number>>();
  #turn = 0;

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.payloadBytesMax = options.payloadBytesMax ?? 1024 * 1024;
    this.transit = options.transit ?? (() => ONE_COPY);
    this.#isOrdered = options.isOrdered ?? true;
    this.#random = options.random;
  }

  add(subscription: MemorySubscription): void {
    this.#subscriptions.add(subscription);
    if (isWild(subscription)) this.#wild.add(subscription.subject, subscription);
    else {
      const same = this.#exact.get(subscription.subject) ?? new Set();
      this.#exact.set(subscription.subject, same.add(subscription));
    }
  }

  remove(subscription: MemorySubscription): void {
    this.#subscriptions.delete(subscription);
    this.close(subscription);
    subscription.drained?.();
  }

  /** Nothing new is sent to it; what is on its way still arrives. */
  close(subscription: MemorySubscription): void {
    if (isWild(subscription)) return this.#wild.delete(subscription.subject, subscription);
    const same = this.#exact.get(subscription.subject);
    same?.delete(subscription);
    if (same?.size === 0) this.#exact.delete(subscription.subject);
  }

  /** Sends to everybody who subscribes now. @returns how many those are */
  route(
    from: MemoryBus,
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>> | undefined,
    answer: Answer | undefined,
  ): number {
    const receivers = this.#receivers(subject);
    for (const receiver of receivers) {
      const link = receiver.bus.link;
      const deliver = (): void => {
        receiver.onTheWay -= 1;
        if (receiver.bus.link === link && this.#subscriptions.has(receiver)) receiver.deliver(subject, data, headers, answer);
        if (receiver.onTheWay === 0) receiver.drained?.();
      };
      receiver.onTheWay += this.carry({ from: from.name, to: receiver.bus.name, subject }, deliver, receiver.bus.clock);
    }
    return receivers.length;
  }

  /** Runs `arrive` once for each copy that arrives, each in a turn of its own, of the receiver's clock. @returns how many do */
  carry(hop: Hop, arrive: () => void, receiver: Clock = this.clock): number {
    const nowMs = this.clock.monotonicMs();
    const enter = receiver === this.clock ? arrive : () => void receiver.setTimer(0, arrive);
    const copies = this.transit(hop);
    for (const delayMs of copies) {
      const atMs = this.#isOrdered ? this.#behindEarlier(hop, nowMs, nowMs + delayMs) : nowMs + delayMs;
      this.clock.setTimer(atMs - nowMs, enter);
    }
    return copies.length;
  }

  /** @throws MusterError `payload-too-large` */
  assertFits(subject: string, data: Uint8Array): void {
    if (data.length > this.payloadBytesMax) {
      throw new MusterError('payload-too-large', `${subject}: ${data.length} bytes, the limit is ${this.payloadBytesMax}`);
    }
  }

  /** When a message arrives that may not overtake; only ways with something on them are remembered. */
  #behindEarlier(hop: Hop, nowMs: number, atMs: number): number {
    let ways = this.#lastArrivalMs.get(hop.from);
    if (ways === undefined) this.#lastArrivalMs.set(hop.from, (ways = new Map()));
    const orderedMs = Math.max(atMs, ways.get(hop.to) ?? 0);
    if (orderedMs > nowMs) ways.set(hop.to, orderedMs);
    else ways.delete(hop.to);
    return orderedMs;
  }

  #receivers(subject: string): readonly MemorySubscription[] {
    const receivers: MemorySubscription[] = [];
    const groups = new Map<string, MemorySubscription[]>();
    const consider = (subscription: MemorySubscription): void => {
      if (!subscription.bus.isConnected) return;
      if (subscription.queue === undefined) receivers.push(subscription);
      else {
        const key = `${subscription.queue} ${subscription.subject}`;
        const group = groups.get(key);
        if (group === undefined) groups.set(key, [subscription]);
        else group.push(subscription);
      }
    };
    for (const subscription of this.#exact.get(subject) ?? []) consider(subscription);
    for (const subscription of this.#wild.matches(subject)) consider(subscription);
    for (const group of groups.values()) {
      const at = this.#random === undefined ? this.#turn++ % group.length : Math.floor(this.#random.next() * group.length);
      receivers.push(group[at] as MemorySubscription);
    }
    return receivers;
  }
}

function isWild({ subject }: MemorySubscription): boolean {
  return subject.includes('*') || subject.includes('>');
}
