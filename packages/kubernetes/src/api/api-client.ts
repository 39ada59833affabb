// Calls to the API server. Statuses, headers and streams as they come; what a status means is in api-fault.ts.
//
// Invariants:
//   A1. A call begins when the bucket lets it, and ends within its time-out, throttled tries included.
//   A2. What is throttled (429) was certainly not done: it is tried again when the server wants. Nothing else is tried again here.
//   A3. What did not come back with an answer is `unreachable`: it may have been done.
import type { IncomingMessage } from 'node:http';
import type { Clock } from '@muster/ports';
import { ApiFault, faultOf, isFault } from './api-fault.ts';
import type { TokenBucket } from './token-bucket.ts';
import type { Transport } from './transport.ts';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly timeoutMs?: number;
  /** False: everything else goes first. Default true. */
  readonly isUrgent?: boolean;
}

export interface ApiClientOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly bucket: TokenBucket;
  /** Told of each answer, and of each call that got none (0). */
  onAnswer?(method: string, status: number): void;
}

const TIMEOUT_MS = 30_000;
const THROTTLED_MS = 1_000;
const BODY_BYTES_MAX = 64 * 1024 * 1024;
/** A line of a watch is an object: etcd takes 1.5 MiB. */
const LINE_CHARS_MAX = 4 * 1024 * 1024;

export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  /** The body of the answer. @throws ApiFault */
  async call<T>(request: ApiRequest): Promise<T> {
    const { clock, bucket } = this.#options;
    const timeoutMs = request.timeoutMs ?? TIMEOUT_MS;
    const endsMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      await bucket.take(request.isUrgent ?? true);
      const leftMs = endsMs - clock.monotonicMs();
      if (leftMs <= 0) throw new ApiFault('throttled', 429, `${request.method} ${request.path} had no turn within ${timeoutMs} ms`);
      try {
        return JSON.parse(await this.#once(request, leftMs)) as T;
      } catch (error) {
        if (!isFault(error, 'throttled')) throw error;
        const pauseMs = error.retryAfterMs ?? THROTTLED_MS;
        bucket.pause(pauseMs);
        if (clock.monotonicMs() + pauseMs >= endsMs) throw error;
      }
    }
  }

  /**
   * The lines of a stream, until it ends. Not counted by the bucket: whoever streams has a backoff of its own.
   * @throws ApiFault
   */
  async stream(
    request: Pick<ApiRequest, 'path' | 'query'>,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number; readonly onLine: (line: string) => void },
  ): Promise<void> {
    const answer = await this.#send({ method: 'GET', ...request }, options.timeoutMs, options.signal);
    if (answer.statusCode !== 200) throw this.#fault(answer, await this.#text(answer, options.timeoutMs));
    answer.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of answer) {
        const lines = (rest + String(chunk)).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LINE_CHARS_MAX) throw new Error(`a line has more than ${LINE_CHARS_MAX} characters`);
        for (const line of lines) if (line.trim() !== '') options.onLine(line);
      }
    } catch (cause) {
      if (cause instanceof ApiFault) throw cause;
      throw unreachable(`the stream of ${request.path} broke`, cause);
    }
    // A last line without its end is half of one.
    if (rest.trim() !== '') throw unreachable(`the stream of ${request.path} ended inside a line`, undefined);
  }

  async #once(request: ApiRequest, timeoutMs: number): Promise<string> {
    const startedMs = this.#options.clock.monotonicMs();
    const answer = await this.#send(request, timeoutMs);
    const text = await this.#text(answer, timeoutMs - (this.#options.clock.monotonicMs() - startedMs));
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return text;
    throw this.#fault(answer, text);
  }

  async #send(request: ApiRequest, timeoutMs: number, signal?: AbortSignal): Promise<IncomingMessage> {
    const { method, path, query = {}, body, contentType = 'application/json' } = request;
    const search = new URLSearchParams(query).toString();
    const said = `${method} ${path}`;
    const text = body === undefined ? undefined : JSON.stringify(body);
    let sent: Awaited<ReturnType<Transport['open']>>;
    try {
      sent = await this.#options.transport.open(method, search === '' ? path : `${path}?${search}`, {
        accept: 'application/json',
        // Node counts the bytes by itself for some methods only, and DELETE is none of them.
        ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': String(Buffer.byteLength(text)) }),
      });
    } catch (cause) {
      throw unreachable(`${said} could not be sent`, cause);
    }
    return new Promise((resolve, reject) => {
      const end = (why: string) => sent.destroy(new Error(why));
      const timer = this.#options.clock.setTimer(timeoutMs, () => end(`no answer within ${Math.round(timeoutMs)} ms`));
      const abort = () => end('it is not wanted any more');
      const settle = () => timer.cancel();
      sent.on('response', (answer: IncomingMessage) => {
        settle();
        this.#options.onAnswer?.(method, answer.statusCode ?? 0);
        resolve(answer);
      });
      sent.on('error', (cause) => {
        settle();
        signal?.removeEventListener('abort', abort);
        this.#options.onAnswer?.(method, 0);
        reject(unreachable(said, cause));
      });
      sent.on('close', () => signal?.removeEventListener('abort', abort));
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort);
      sent.end(text);
    });
  }

  async #text(answer: IncomingMessage, timeoutMs: number): Promise<string> {
    const timer = this.#options.clock.setTimer(Math.max(0, timeoutMs), () => answer.destroy(new Error('the answer did not end in time')));
    try {
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of answer) {
        bytes += (chunk as Buffer).length;
        if (bytes > BODY_BYTES_MAX) throw new Error(`the answer has more than ${BODY_BYTES_MAX} bytes`);
        chunks.push(chunk as Buffer);
      }
      return Buffer.concat(chunks).toString('utf8');
    } catch (cause) {
      throw unreachable('an answer broke off', cause);
    } finally {
      timer.cancel();
    }
  }

  #fault(answer: IncomingMessage, text: string): ApiFault {
    return faultOf(answer.statusCode ?? 0, answer.headers, text);
  }
}

function unreachable(said: string, cause: unknown): ApiFault {
  const why = cause instanceof Error ? `: ${cause.message || cause.name}` : '';
  return new ApiFault('unreachable', 0, `${said}${why}`, { cause });
}
