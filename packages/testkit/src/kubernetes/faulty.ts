// How a fault looks to the client that it strikes.
import type { ServerResponse } from 'node:http';
import type { Clock } from '@muster/ports';
import type { Fault } from './faults.ts';
import { expired, StatusError } from './status-error.ts';
import type { WatchSink } from './watches.ts';

/** A request that gets no answer. */
export class HungRequest extends Error {
  /** The connection breaks; otherwise it stays open and silent. */
  readonly isBroken: boolean;

  constructor(isBroken: boolean) {
    super('not answered, on purpose');
    this.isBroken = isBroken;
  }
}

/** What happens before anything is done. @throws HungRequest where nothing will be */
export async function startFault(clock: Clock, fault: Fault | undefined): Promise<void> {
  if (fault?.kind === 'drop') throw new HungRequest(true);
  if (fault?.kind === 'hang') throw new HungRequest(false);
  if (fault?.kind !== 'delay') return;
  await new Promise<void>((resolve) => void clock.setTimer(fault.ms, resolve));
}

/** 429 is plain text, as recorded; the rest is a `Status`. */
export function refuse(response: ServerResponse, fault: Extract<Fault, { kind: 'refuse' }>): void {
  const retryAfter = fault.retryAfterSeconds === undefined ? {} : { 'retry-after': String(fault.retryAfterSeconds) };
  if (fault.status === 429) {
    response.writeHead(429, { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '1', ...retryAfter });
    response.end(fault.message ?? 'Too many requests, please try again later.\n');
    return;
  }
  const { code, status } = new StatusError(fault.status, REASONS[fault.status], fault.message ?? 'refused on purpose');
  response.writeHead(code, { 'content-type': 'application/json', ...retryAfter });
  response.end(JSON.stringify(status));
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** Passes a watch's events on, until the fault strikes. */
export class FaultySink implements WatchSink {
  readonly #sink: WatchSink;
  readonly #response: ServerResponse;
  readonly #fault: Extract<Fault, { kind: 'watch' }>;
  readonly #stop: () => void;
  #events = 0;
  #isOver = false;

  constructor(sink: WatchSink, response: ServerResponse, fault: Extract<Fault, { kind: 'watch' }>, stop: () => void) {
    this.#sink = sink;
    this.#response = response;
    this.#fault = fault;
    this.#stop = stop;
    if (fault.afterEvents === 0) this.#strike('');
  }

  line(text: string, isEvent: boolean): void {
    if (this.#isOver) return;
    if (isEvent && this.#events === this.#fault.afterEvents) {
      this.#strike(text);
      return;
    }
    if (isEvent) this.#events += 1;
    this.#sink.line(text, isEvent);
    if (this.#events === this.#fault.afterEvents && !['break', 'garbage'].includes(this.#fault.fate)) this.#strike(text);
  }

  end(): void {
    if (this.#isOver && this.#fault.fate === 'hang') return;
    this.#sink.end();
  }

  /** `next` is the line that would have come. */
  #strike(next: string): void {
    if (this.#isOver) return;
    const { fate } = this.#fault;
    // A line is needed to be broken; a watch that says nothing yet waits for its first.
    if (fate === 'break' && next === '') return;
    this.#isOver = true;
    if (fate === 'garbage') {
      this.#sink.line('{"type":"MODIFIED","object":{"kind":"Pod",,}}\n', true);
      this.#isOver = false;
      this.#events = Number.NaN;
      if (next !== '') this.#sink.line(next, true);
      return;
    }
    this.#stop();
    if (fate === 'expire')
      this.#sink.line(`{"type":"ERROR","object":${JSON.stringify(expired('too old resource version').status)}}\n`, true);
    if (fate === 'end' || fate === 'expire') this.#sink.end();
    if (fate === 'break') this.#response.write(next.slice(0, Math.floor(next.length / 2)), () => this.#response.destroy());
    if (fate === 'cut') this.#response.write('', () => this.#response.destroy());
  }
}
