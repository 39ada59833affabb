// Requests under way on one link.
//
// Owns: the inbox that answers come to, and who waits for which. One subscription serves all requests of the process.
//   X1. Every exchange settles exactly once: answered, nobody there, not allowed, timed out, or the link broke.
//   X2. One timer for all of them, for the earliest deadline; a deadline is met up to SWEEP_MS late, never early.
// Why not the client's own `request`: it does not notice a broken link, and costs a timer and two promises a call.
import type { Clock, Timer } from '@muster/ports';
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import type { Outbox } from './outbox.ts';

/** What came of a request. */
export type Exchange =
  | { readonly kind: 'answer'; readonly message: Msg }
  /** Nobody subscribes: not delivered. */
  | { readonly kind: 'no-responders' }
  /** This user may not publish there: not delivered. */
  | { readonly kind: 'unauthorized' }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'disconnected' };

const NO_RESPONDERS: Exchange = { kind: 'no-responders' };
const UNAUTHORIZED: Exchange = { kind: 'unauthorized' };
const TIMEOUT: Exchange = { kind: 'timeout' };
const DISCONNECTED: Exchange = { kind: 'disconnected' };
const SWEEP_MS = 5;

interface Waiting {
  readonly subject: string;
  readonly deadlineMs: number;
  resolve(exchange: Exchange): void;
}

export class ExchangeTable {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #inbox: string;
  readonly #waiting = new Map<string, Waiting>();
  #count = 0;
  #sweep: Timer | undefined;
  #sweepAtMs = Number.POSITIVE_INFINITY;

  constructor(connection: NatsConnection, outbox: Outbox, options: { readonly clock: Clock; readonly inbox: string }) {
    this.#outbox = outbox;
    this.#clock = options.clock;
    this.#inbox = options.inbox;
    connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#onAnswer(message);
      },
    });
  }

  /** Sends and waits. @throws MusterError `bad-request` for a subject that is none */
  send(subject: string, data: Uint8Array, timeoutMs: number, headers?: MsgHdrs): Promise<Exchange> {
    const token = (this.#count++).toString(36);
    const reply = `${this.#inbox}.${token}`;
    this.#outbox.send(subject, data, headers === undefined ? { reply } : { reply, headers });
    return new Promise((resolve) => {
      const deadlineMs = this.#clock.monotonicMs() + timeoutMs;
      this.#waiting.set(token, { subject, deadlineMs, resolve });
      if (deadlineMs + SWEEP_MS < this.#sweepAtMs) this.#sweepAt(deadlineMs);
    });
  }

  /** The link broke: what was asked may have arrived, its answer will not. */
  failAll(): void {
    const waiting = Array.from(this.#waiting.values());
    this.#waiting.clear();
    this.#sweep?.cancel();
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    for (const one of waiting) one.resolve(DISCONNECTED);
  }

  /** The server refused to take what was published on the subject; it does not say which message that was. */
  refuse(subject: string): void {
    for (const [token, waiting] of this.#waiting) {
      if (waiting.subject !== subject) continue;
      this.#waiting.delete(token);
      waiting.resolve(UNAUTHORIZED);
    }
  }

  #onAnswer(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return;
    this.#waiting.delete(token);
    const isNobody = message.data.length === 0 && message.headers?.code === 503;
    waiting.resolve(isNobody ? NO_RESPONDERS : { kind: 'answer', message });
  }

  #sweepAt(deadlineMs: number): void {
    this.#sweep?.cancel();
    const nowMs = this.#clock.monotonicMs();
    this.#sweepAtMs = Math.max(deadlineMs, nowMs) + SWEEP_MS;
    this.#sweep = this.#clock.setTimer(this.#sweepAtMs - nowMs, () => this.#onSweep());
  }

  #onSweep(): void {
    const nowMs = this.#clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    this.#sweepAtMs = Number.POSITIVE_INFINITY;
    for (const [token, waiting] of this.#waiting) {
      if (waiting.deadlineMs <= nowMs) {
        this.#waiting.delete(token);
        waiting.resolve(TIMEOUT);
      } else if (waiting.deadlineMs < nextMs) nextMs = waiting.deadlineMs;
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#sweepAt(nextMs);
  }
}
