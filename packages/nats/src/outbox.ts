// What one turn of the event loop sends leaves in one write.
//
// The client writes to its socket once for each microtask that published something: under load that was a third of a
// replica's time. Node runs immediates after everything that came in with the same chunk of input, so nothing waits longer
// than for its neighbours.
//   B1. What was sent leaves in the order in which it was sent.
//   B2. It leaves within the turn of the event loop in which it was sent, or is dropped with the link (L1).
import { MusterError } from '@muster/protocol';
import type { NatsConnection, PublishOptions } from '@nats-io/transport-node';

interface Outgoing {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly options: PublishOptions | undefined;
}

const NO_SUBJECT = /^$|[ \n\r\t]/;

export class Outbox {
  readonly #connection: NatsConnection;
  readonly #failed: (subject: string, error: unknown) => void;
  #queue: Outgoing[] = [];

  /** `failed` hears of what the client would not send; what can be known at once is thrown by `send`. */
  constructor(connection: NatsConnection, failed: (subject: string, error: unknown) => void) {
    this.#connection = connection;
    this.#failed = failed;
  }

  /** @throws MusterError `bad-request` for a subject that is none on the wire */
  send(subject: string, data: Uint8Array, options?: PublishOptions): void {
    if (NO_SUBJECT.test(subject)) {
      throw new MusterError('bad-request', `${JSON.stringify(subject)}: is empty or has white space, which no subject has`);
    }
    this.#queue.push({ subject, data, options });
    if (this.#queue.length === 1) setImmediate(() => this.flush());
  }

  /** Hands what is queued to the client now. */
  flush(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const { subject, data, options } of queue) {
      try {
        this.#connection.publish(subject, data, options);
      } catch (error) {
        this.#failed(subject, error);
      }
    }
  }

  /** The link broke: what has not left is dropped. */
  clear(): void {
    this.#queue = [];
  }
}
