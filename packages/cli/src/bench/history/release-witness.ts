import type {
  BusMessage,
  MessageBus,
  MessageSubscription,
  PublishOptions,
  RequestOptions,
  ServiceDescription,
  Subscription,
} from '@muster/ports';
import { decode, type RenewAnswer, type ReservationRef } from '@muster/protocol';

/** Told of a release whose reservation was no longer its holder's. */
export type OnReleaseRefused = (reservation: string, why: string) => void;

const RELEASE = Buffer.from('"type":"release"');
const REFUSED = Buffer.from('"ok":false');
const ANSWERED = Buffer.from('"ok":true');

/**
 * A bus that looks at the answers to releases on their way: the client takes one that says 'ended' for success, as it
 * should, but a history wants to know whether somebody else had ended it.
 */
export class ReleaseWitness implements MessageBus {
  readonly #bus: MessageBus;
  readonly #onRefused: OnReleaseRefused;
  /** Releases that were sent and perhaps done, and will be sent again. */
  readonly #tried = new Set<string>();

  constructor(bus: MessageBus, onRefused: OnReleaseRefused) {
    this.#bus = bus;
    this.#onRefused = onRefused;
  }

  get payloadBytesMax(): number {
    return this.#bus.payloadBytesMax;
  }

  get isConnected(): boolean {
    return this.#bus.isConnected;
  }

  async request(subject: string, data: Uint8Array, options: RequestOptions): Promise<BusMessage> {
    if (!has(data, RELEASE)) return this.#bus.request(subject, data, options);
    try {
      const answer = await this.#bus.request(subject, data, options);
      if (has(answer.data, REFUSED)) this.#look(answer.data);
      else if (!has(answer.data, ANSWERED)) this.#noteTried(data);
      return answer;
    } catch (error) {
      this.#noteTried(data);
      throw error;
    }
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    this.#bus.publish(subject, data, options);
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { readonly queue?: string }): MessageSubscription {
    return this.#bus.subscribe(subject, handler, options);
  }

  serve(service: ServiceDescription): Promise<MessageSubscription> {
    return this.#bus.serve(service);
  }

  onStatus(listener: (status: 'connected' | 'disconnected') => void): Subscription {
    return this.#bus.onStatus(listener);
  }

  flush(): Promise<void> {
    return this.#bus.flush();
  }

  close(): Promise<void> {
    return this.#bus.close();
  }

  #look(data: Uint8Array): void {
    const { answer } = decode(data) as { readonly answer?: RenewAnswer };
    if (answer?.ok !== true) return;
    for (const result of answer.results) {
      // One that is repeated may find its own first try.
      if (result.ok || this.#tried.has(result.id)) continue;
      const { code, reason } = result.error;
      this.#onRefused(result.id, reason === undefined ? code : `${code}: ${reason}`);
    }
  }

  #noteTried(data: Uint8Array): void {
    const { body } = decode(data) as { readonly body?: { readonly reservations?: readonly ReservationRef[] } };
    for (const { id } of body?.reservations ?? []) this.#tried.add(id);
  }
}

function has(data: Uint8Array, text: Buffer): boolean {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).includes(text);
}
