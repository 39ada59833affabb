// The bus of a replica with somebody who looks on: what it receives, says and answers, at the moment it does.
import {
  type BusMessage,
  type MemoryBus,
  type MessageBus,
  type MessageSubscription,
  type PublishOptions,
  type RequestOptions,
  type ServiceDescription,
  type Subscription,
  serveMicro,
} from '@muster/ports';
import type { Machine } from './machine.ts';
import { beatOf, readBeat } from './record-version.ts';

/** Told of everything that passes one replica's bus. */
export interface BusWitness {
  /** Sent, as a message or a question. */
  said(replica: string, subject: string, data: Uint8Array): void;
  /** From now on it hears these; what is given back is told again with each of them. */
  subscribed(replica: string, subject: string): number;
  /** Came in; what is given back is told again with each answer. */
  received(replica: string, subscription: number, subject: string, data: Uint8Array): number;
  answered(replica: string, subject: string, question: Uint8Array, arrival: number, answer: Uint8Array): void;
}

export class ObservedBus implements MessageBus {
  readonly #inner: MemoryBus;
  readonly #machine: Machine;
  readonly #witness: BusWitness;
  readonly #version: number;

  constructor(machine: Machine, witness: BusWitness, version: number) {
    this.#version = version;
    this.#inner = machine.bus;
    this.#machine = machine;
    this.#witness = witness;
  }

  get payloadBytesMax(): number {
    return this.#inner.payloadBytesMax;
  }
  get isConnected(): boolean {
    return this.#inner.isConnected;
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    if (this.isConnected) this.#witness.said(this.#machine.name, subject, data);
    this.#inner.publish(subject, beatOf(subject, data, this.#version), options);
  }

  request(subject: string, data: Uint8Array, options: RequestOptions): Promise<BusMessage> {
    if (this.isConnected) this.#witness.said(this.#machine.name, subject, data);
    return this.#inner.request(subject, data, options);
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { readonly queue?: string }): MessageSubscription {
    const { name } = this.#machine;
    const subscription = this.#witness.subscribed(name, subject);
    return this.#inner.subscribe(
      subject,
      (message) => {
        const arrival = this.#witness.received(name, subscription, message.subject, message.data);
        handler({
          subject: message.subject,
          data: readBeat(message.subject, message.data, this.#version),
          expectsReply: message.expectsReply,
          ...(message.headers === undefined ? {} : { headers: message.headers }),
          respond: (answer) => {
            if (this.isConnected) this.#witness.answered(name, message.subject, message.data, arrival, answer);
            message.respond(answer);
          },
        });
      },
      options,
    );
  }

  serve(service: ServiceDescription): Promise<MessageSubscription> {
    return serveMicro(this, service, { clock: this.#machine.clock, random: this.#machine.random });
  }
  onStatus(listener: (status: 'connected' | 'disconnected') => void): Subscription {
    return this.#inner.onStatus(listener);
  }
  flush(): Promise<void> {
    return this.#inner.flush();
  }
  close(): Promise<void> {
    return this.#inner.close();
  }
}
