import { MusterError } from '@muster/protocol';
import type { Clock, Timer } from '../clock.ts';
import type {
  BusMessage,
  MessageBus,
  MessageSubscription,
  PublishOptions,
  RequestOptions,
  ServiceDescription,
  Subscription,
} from '../message-bus.ts';
import { serveMicro } from '../micro-service.ts';
import type { Random } from '../random.ts';
import type { Answer, MemoryNetwork, MemorySubscription } from './memory-network.ts';
import { SeededRandom } from './seeded-random.ts';

export interface MemoryBusOptions {
  readonly network: MemoryNetwork;
  /** Who this is in the network's hops. */
  readonly name: string;
  /** The clock of the process, where it is not the network's; what arrives is handled by it, and requests time out by it. */
  readonly clock?: Clock;
  readonly random?: Random;
}

interface PendingRequest {
  fail(error: MusterError): void;
}

/** One process's link to a `MemoryNetwork`. */
export class MemoryBus implements MessageBus {
  readonly name: string;
  readonly network: MemoryNetwork;
  readonly clock: Clock;
  /** Another object for each time that the link was up; undefined while it is down. */
  link: object | undefined = {};
  #isClosed = false;
  readonly #random: Random;
  readonly #own = new Set<MemorySubscription>();
  readonly #pending = new Set<PendingRequest>();
  readonly #listeners = new Set<(status: 'connected' | 'disconnected') => void>();

  constructor(options: MemoryBusOptions) {
    this.network = options.network;
    this.name = options.name;
    this.clock = options.clock ?? options.network.clock;
    this.#random = options.random ?? new SeededRandom(hash(options.name));
  }

  get payloadBytesMax(): number {
    return this.network.payloadBytesMax;
  }

  get isConnected(): boolean {
    return this.link !== undefined;
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    this.network.assertFits(subject, data);
    if (this.isConnected) this.network.route(this, subject, data, options?.headers, undefined);
  }

  async request(subject: string, data: Uint8Array, options: RequestOptions): Promise<BusMessage> {
    this.network.assertFits(subject, data);
    this.#assertLinked(subject);
    return new Promise((resolve, reject) => {
      const link = this.link;
      let timer: Timer | undefined;
      const pending: PendingRequest = { fail: (error) => settle(() => reject(error)) };
      const settle = (how: () => void): void => {
        if (!this.#pending.delete(pending)) return;
        timer?.cancel();
        how();
      };
      const answer: Answer = (from, reply) => {
        const arrive = (): void => {
          if (this.link === link) settle(() => resolve({ subject, data: reply, expectsReply: false, respond: () => undefined }));
        };
        this.network.carry({ from: from.name, to: this.name, subject }, arrive, this.clock);
      };
      this.#pending.add(pending);
      timer = this.clock.setTimer(options.timeoutMs, () =>
        pending.fail(new MusterError('timeout', `${subject}: no answer in ${options.timeoutMs} ms`)),
      );
      if (this.network.route(this, subject, data, options.headers, answer) === 0) {
        const refuse = (): void => {
          if (this.link === link) pending.fail(new MusterError('no-responders', `nobody listens on ${subject}`));
        };
        this.network.carry({ from: 'server', to: this.name, subject }, refuse, this.clock);
      }
    });
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { readonly queue?: string }): MessageSubscription {
    if (this.#isClosed) throw new MusterError('closed', 'the bus was closed');
    const subscription: MemorySubscription = {
      onTheWay: 0,
      bus: this,
      subject,
      queue: options?.queue,
      deliver: (to, data, headers, answer) =>
        handler({
          subject: to,
          data,
          expectsReply: answer !== undefined,
          ...(headers === undefined ? {} : { headers }),
          respond: (reply) => {
            this.network.assertFits(to, reply);
            if (this.isConnected) answer?.(this, reply);
          },
        }),
    };
    this.#own.add(subscription);
    this.network.add(subscription);
    const unsubscribe = (): void => {
      this.#own.delete(subscription);
      this.network.remove(subscription);
    };
    return {
      unsubscribe,
      drain: async () => {
        this.network.close(subscription);
        if (subscription.onTheWay > 0) {
          await new Promise<void>((resolve) => {
            subscription.drained = resolve;
          });
        }
        unsubscribe();
      },
    };
  }

  async serve(service: ServiceDescription): Promise<MessageSubscription> {
    return serveMicro(this, service, { clock: this.clock, random: this.#random });
  }

  onStatus(listener: (status: 'connected' | 'disconnected') => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  async flush(): Promise<void> {
    this.#assertLinked('flush');
  }

  /** Breaks the link: requests under way fail with `disconnected`, and what is on its way here is lost. */
  disconnect(): void {
    if (this.link === undefined) return;
    this.link = undefined;
    for (const pending of Array.from(this.#pending)) pending.fail(new MusterError('disconnected', 'the link broke'));
    for (const listener of Array.from(this.#listeners)) listener('disconnected');
  }

  /** Mends the link; subscriptions are there again. */
  reconnect(): void {
    if (this.link !== undefined || this.#isClosed) return;
    this.link = {};
    for (const listener of Array.from(this.#listeners)) listener('connected');
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const subscription of this.#own) this.network.remove(subscription);
    this.#own.clear();
    this.disconnect();
  }

  #assertLinked(subject: string): void {
    if (this.#isClosed) throw new MusterError('closed', 'the bus was closed');
    if (!this.isConnected) throw new MusterError('disconnected', `${subject}: the link is down`);
  }
}

/** FNV-1a: buses of different names make different ids. */
function hash(name: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) value = Math.imul(value ^ name.charCodeAt(at), 0x01000193) >>> 0;
  return value;
}
