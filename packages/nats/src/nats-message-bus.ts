import {
  type BusMessage,
  type MessageBus,
  type MessageSubscription,
  type PublishOptions,
  type RequestOptions,
  type ServiceDescription,
  type Subscription,
  serveMicro,
} from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { type Msg, type MsgHdrs, headers as makeHeaders } from '@nats-io/transport-node';
import type { LinkStatus, NatsLink } from './nats-link.ts';

/** Core NATS. */
export class NatsMessageBus implements MessageBus {
  readonly #link: NatsLink;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  get payloadBytesMax(): number {
    return this.#link.payloadBytesMax;
  }

  get isConnected(): boolean {
    return this.#link.isConnected;
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    this.#link.publish(subject, data, toHeaders(options));
  }

  async request(subject: string, data: Uint8Array, options: RequestOptions): Promise<BusMessage> {
    const exchange = await this.#link.exchange(subject, data, options.timeoutMs, toHeaders(options));
    switch (exchange.kind) {
      case 'answer':
        return new NatsMessage(exchange.message, this.#link);
      case 'no-responders':
        throw new MusterError('no-responders', `nobody listens on ${subject}`);
      case 'unauthorized':
        throw new MusterError('unauthorized', `${subject}: this NATS user may not publish there`);
      case 'timeout':
        throw new MusterError('timeout', `${subject}: no answer in ${options.timeoutMs} ms`);
      case 'disconnected':
        throw new MusterError('disconnected', `${subject}: the link to NATS is down`);
    }
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { readonly queue?: string }): MessageSubscription {
    return this.#link.subscribe(subject, (message) => handler(new NatsMessage(message, this.#link)), options?.queue);
  }

  async serve(service: ServiceDescription): Promise<MessageSubscription> {
    const subscription = await serveMicro(this, service, { clock: this.#link.clock, random: this.#link.random });
    // Where the link is down now, it subscribes when it is back.
    if (this.isConnected) await this.flush().catch(() => undefined);
    return subscription;
  }

  onStatus(listener: (status: LinkStatus) => void): Subscription {
    return this.#link.onStatus(listener);
  }

  flush(): Promise<void> {
    return this.#link.flush();
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}

class NatsMessage implements BusMessage {
  readonly #message: Msg;
  readonly #link: NatsLink;

  constructor(message: Msg, link: NatsLink) {
    this.#message = message;
    this.#link = link;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get expectsReply(): boolean {
    return this.#reply !== '';
  }

  get headers(): Readonly<Record<string, string>> {
    const { headers } = this.#message;
    return headers === undefined ? {} : Object.fromEntries(headers.keys().map((key) => [key, headers.get(key)]));
  }

  respond(data: Uint8Array): void {
    if (this.expectsReply) this.#link.publish(this.#reply, data);
  }

  get #reply(): string {
    return this.#message.reply ?? '';
  }
}

function toHeaders(options: PublishOptions | undefined): MsgHdrs | undefined {
  if (options?.headers === undefined) return undefined;
  const headers = makeHeaders();
  for (const [name, value] of Object.entries(options.headers)) headers.set(name, value);
  return headers;
}
