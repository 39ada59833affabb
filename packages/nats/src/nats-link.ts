// One connection to NATS, and what the rest of the adapter may know of it.
//
//   L1. Nothing is buffered for later: what is sent while the link is down is dropped, or fails at once.
//   L2. When the link breaks every exchange under way ends as `disconnected`, then the listeners hear of it.
//   L3. It never gives up: it dials until it is closed.
import type { Clock, Logger, MessageSubscription, Random, Subscription } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { createInbox, type Msg, type MsgHdrs, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { type Exchange, ExchangeTable } from './exchange-table.ts';
import { Outbox } from './outbox.ts';

export type LinkStatus = 'connected' | 'disconnected';

export interface LinkTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly inboxPrefix?: string;
}

const FLUSH_TIMEOUT_MS = 5000;
const CLOSE_TIMEOUT_MS = 2000;

export class NatsLink {
  readonly connection: NatsConnection;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly #exchanges: ExchangeTable;
  readonly #outbox: Outbox;
  readonly #inboxPrefix: string | undefined;
  readonly #listeners = new Set<(status: LinkStatus) => void>();
  #isUp = true;
  #isClosed = false;
  #payloadBytesMax: number;

  constructor(connection: NatsConnection, tools: LinkTools) {
    this.connection = connection;
    this.clock = tools.clock;
    this.random = tools.random;
    this.logger = tools.logger;
    this.#payloadBytesMax = connection.info?.max_payload ?? 0;
    this.#inboxPrefix = tools.inboxPrefix;
    this.#outbox = new Outbox(connection, (subject, error) => this.logger.error({ subject, error }, 'NATS would not send a message'));
    this.#exchanges = new ExchangeTable(connection, this.#outbox, { clock: tools.clock, inbox: this.makeInbox() });
    void this.#watch();
  }

  /** False also while the client is dialling and has not said so yet. */
  get isConnected(): boolean {
    return this.#isUp && this.connection.info !== undefined;
  }

  /** Of the server that was last connected to. */
  get payloadBytesMax(): number {
    return this.#payloadBytesMax;
  }

  /** A subject that nobody else has, within what this user may subscribe. */
  makeInbox(): string {
    return createInbox(this.#inboxPrefix);
  }

  /** @throws MusterError `payload-too-large`, `bad-request` for a subject that cannot be sent */
  publish(subject: string, data: Uint8Array, headers?: MsgHdrs): void {
    this.assertFits(subject, data);
    if (this.isConnected) this.#outbox.send(subject, data, headers === undefined ? undefined : { headers });
  }

  /** @throws MusterError `payload-too-large`, `bad-request` for a subject that cannot be sent */
  exchange(subject: string, data: Uint8Array, timeoutMs: number, headers?: MsgHdrs): Promise<Exchange> | Exchange {
    this.assertFits(subject, data);
    return this.isConnected ? this.#exchanges.send(subject, data, timeoutMs, headers) : { kind: 'disconnected' };
  }

  /** A handler that throws is a defect of ours; it is logged, since the client would stop reading. */
  subscribe(subject: string, handler: (message: Msg) => void, queue?: string): MessageSubscription {
    if (this.#isClosed) throw new MusterError('closed', 'the link was closed');
    const subscription = this.connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error !== null) {
          this.logger.error({ subject, error }, 'NATS refused a subscription');
          return;
        }
        try {
          handler(message);
        } catch (defect) {
          this.logger.error({ subject, error: defect }, 'the handler of a subscription threw');
        }
      },
    });
    return {
      unsubscribe: () => subscription.unsubscribe(),
      drain: async () => {
        if (!this.isConnected || subscription.isClosed()) return subscription.unsubscribe();
        this.#outbox.flush();
        // The server's answer to a flush comes behind all that it had sent before it knew.
        await this.#within(subscription.drain(), FLUSH_TIMEOUT_MS);
        subscription.unsubscribe();
      },
    };
  }

  onStatus(listener: (status: LinkStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  async flush(): Promise<void> {
    if (this.#isClosed) throw new MusterError('closed', 'the link was closed');
    if (!this.isConnected) throw new MusterError('disconnected', 'flush: the link is down');
    this.#outbox.flush();
    await new Promise<void>((resolve, reject) => {
      const late = this.clock.setTimer(FLUSH_TIMEOUT_MS, () =>
        reject(new MusterError('timeout', `flush: no answer in ${FLUSH_TIMEOUT_MS} ms`)),
      );
      this.connection
        .flush()
        .then(resolve, (cause: unknown) => reject(new MusterError('disconnected', 'flush: the link broke', { cause })))
        .finally(() => late.cancel());
    });
  }

  /** Sends what was published, where it can, and closes. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    const isOrderly = this.isConnected;
    this.#isClosed = true;
    if (isOrderly) {
      this.#outbox.flush();
      await this.#within(this.connection.flush(), CLOSE_TIMEOUT_MS);
    }
    await this.connection.close();
    this.#setStatus('disconnected');
  }

  /** @throws MusterError `payload-too-large` */
  assertFits(subject: string, data: Uint8Array): void {
    if (data.length > this.#payloadBytesMax) {
      throw new MusterError('payload-too-large', `${subject}: ${data.length} bytes, the limit is ${this.#payloadBytesMax}`);
    }
  }

  /** Resolves when the work is done or has failed, or it takes too long. */
  #within(work: Promise<void>, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const late = this.clock.setTimer(timeoutMs, resolve);
      work.then(resolve, () => resolve()).finally(() => late.cancel());
    });
  }

  async #watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      switch (status.type) {
        case 'disconnect':
        case 'staleConnection':
          this.#setStatus('disconnected');
          break;
        case 'reconnect':
          this.#payloadBytesMax = this.connection.info?.max_payload ?? this.#payloadBytesMax;
          this.#setStatus('connected');
          break;
        case 'error':
          this.logger.warn({ error: status.error }, 'NATS reported an error');
          if (status.error instanceof PermissionViolationError && status.error.operation === 'publish') {
            this.#exchanges.refuse(status.error.subject);
          }
          break;
        case 'ldm':
          this.logger.info({ server: status.server }, 'the NATS server is about to stop');
          break;
        default:
          break;
      }
    }
    if (!this.#isClosed) this.logger.error({}, 'the connection to NATS closed for good');
    this.#setStatus('disconnected');
  }

  #setStatus(status: LinkStatus): void {
    if (this.#isUp === (status === 'connected')) return;
    this.#isUp = status === 'connected';
    if (!this.#isClosed) {
      if (this.#isUp) this.logger.info({ server: this.connection.getServer() }, 'connected to NATS again');
      else this.logger.warn({}, 'the link to NATS is down');
    }
    this.#outbox.clear();
    if (!this.#isUp) this.#exchanges.failAll();
    for (const listener of Array.from(this.#listeners)) listener(status);
  }
}
