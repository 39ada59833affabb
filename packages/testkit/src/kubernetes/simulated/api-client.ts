// A small client of the API, for whoever plays a part of a cluster: no retries, no cache, nothing guessed.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { KubernetesAccess } from '../access.ts';
import { isObject } from '../object.ts';

export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed where it is JSON, else the text. */
  readonly body: unknown;
}

export interface ApiRequestOptions {
  readonly body?: unknown;
  /** Default: `application/json`. */
  readonly contentType?: string;
  /** Instead of all that the access has, its certificate too, which a server believes before any token; empty: nobody. */
  readonly token?: string;
}

/** One event of a watch. */
export interface WatchEvent {
  readonly type: string;
  readonly object: Readonly<Record<string, unknown>>;
}

export interface WatchListener {
  readonly onEvent: (event: WatchEvent) => void;
  /** No more comes, in order or not. */
  readonly onEnd: (error: Error | undefined) => void;
}

const SOCKETS_MAX = 64;

/** A request that was answered with a failure where success was needed. */
export class ApiFailure extends Error {
  readonly response: ApiResponse;

  constructor(what: string, response: ApiResponse) {
    const said = isObject(response.body) ? response.body['message'] : response.body;
    super(`${what}: ${response.status} ${String(said)}`);
    this.response = response;
  }
}

/** One way to an API server. `close` ends its idle connections. */
export class ApiClient {
  readonly #access: KubernetesAccess;
  readonly #isTls: boolean;
  /** Of whoever the access is of. */
  readonly #own: HttpAgent | HttpsAgent;
  /** Of anybody else. */
  readonly #other: HttpAgent | HttpsAgent;

  constructor(access: KubernetesAccess) {
    this.#access = access;
    this.#isTls = access.server.startsWith('https:');
    this.#own = this.#makeAgent(this.#tlsOptions(true));
    this.#other = this.#makeAgent(this.#tlsOptions(false));
  }

  /** One request and its whole answer, whatever its status. @throws Error where there is none */
  async request(method: string, path: string, options: ApiRequestOptions = {}): Promise<ApiResponse> {
    const response = await this.#open(method, path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const isJson = (response.headers['content-type'] ?? '').includes('json');
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: isJson && text !== '' ? (JSON.parse(text) as unknown) : text,
    };
  }

  /** The body of a success. @throws ApiFailure for any other status, unless it is one of `allowed` (then undefined) */
  async call(method: string, path: string, options: ApiRequestOptions = {}, allowed: readonly number[] = []): Promise<unknown> {
    const response = await this.request(method, path, options);
    if (response.status >= 200 && response.status < 300) return response.body;
    if (allowed.includes(response.status)) return undefined;
    throw new ApiFailure(`${method} ${path}`, response);
  }

  /** Opens a watch; gives its end. @throws ApiFailure where it is refused */
  async watch(path: string, { onEvent, onEnd }: WatchListener): Promise<() => void> {
    const response = await this.#open('GET', path, {}, false);
    if (response.statusCode !== 200) {
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      throw new ApiFailure(`GET ${path}`, {
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(chunks).toString(),
      });
    }
    let rest = '';
    let isOver = false;
    const end = (error?: Error): void => {
      if (isOver) return;
      isOver = true;
      response.destroy();
      onEnd(error);
    };
    response.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (isOver || line === '') continue;
        try {
          onEvent(JSON.parse(line) as WatchEvent);
        } catch (error) {
          end(error instanceof Error ? error : new Error(String(error)));
        }
      }
    });
    response
      .on('end', () => end())
      .on('error', end)
      .on('close', () => end(new Error('the connection broke')));
    return () => {
      isOver = true;
      response.destroy();
    };
  }

  close(): void {
    this.#own.destroy();
    this.#other.destroy();
  }

  async #open(
    method: string,
    path: string,
    { body, contentType = 'application/json', token }: ApiRequestOptions,
    isPooled = true,
  ): Promise<IncomingMessage> {
    const bearer = token ?? this.#access.token ?? '';
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const headers = {
      accept: 'application/json',
      ...(bearer === '' ? {} : { authorization: `Bearer ${bearer}` }),
      ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
    };
    const isOwn = token === undefined;
    // A watch keeps its connection: it is not one of the pool's.
    const way = isPooled ? { agent: isOwn ? this.#own : this.#other } : { agent: false, ...this.#tlsOptions(isOwn) };
    return new Promise((resolve, reject) => {
      const options = { method, headers, ...way };
      const outgoing = (this.#isTls ? httpsRequest : httpRequest)(new URL(this.#access.server + path), options, resolve);
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }

  #tlsOptions(isOwn: boolean): object {
    if (!this.#isTls) return {};
    const { ca, cert, key, serverName, isUnverified = false } = this.#access;
    return defined({ ca, ...(isOwn ? { cert, key } : {}), servername: serverName, rejectUnauthorized: !isUnverified });
  }

  #makeAgent(tls: object): HttpAgent | HttpsAgent {
    const keep = { keepAlive: true, maxSockets: SOCKETS_MAX };
    return this.#isTls ? new HttpsAgent({ ...keep, ...tls }) : new HttpAgent(keep);
  }
}

function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}
