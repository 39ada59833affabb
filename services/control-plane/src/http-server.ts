// What a replica does over HTTP: health, metrics, the cluster as its read models have it, and reserving.
//
//   H1. Health says that this process answers, and nothing else: never whether NATS does, or what is owned, or a roll-out
//       would kill the pool.
//   H2. A request costs bounded memory and time: its line, its headers, its connection, and what a slow reader may hold up.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import type { ClusterView, Requests } from '@muster/pool';
import type { Logger } from '@muster/ports';
import { ownOf } from '@muster/domain';
import { adminRequestSchema, ERROR_CODES, isMusterError, MusterError, parse } from '@muster/protocol';
import { assertAllowed, type HttpAccess, HttpRefusal } from './http-gate.ts';
import { assertMayPost, POSTS, post } from './http-reservations.ts';
import { openApi } from './openapi.ts';
import type { PrometheusMetrics } from './prometheus-metrics.ts';

export interface HttpOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly access: HttpAccess;
  readonly view: Pick<ClusterView, 'status' | 'pools' | 'slots' | 'orgs' | 'hosts' | 'intents' | 'explain' | 'reservations'>;
  readonly requests: Requests;
  /** Of Muster, for the description of itself. */
  readonly version: string;
  readonly metrics: Pick<PrometheusMetrics, 'text' | 'contentType'>;
  readonly logger: Logger;
  /** Follows the cluster at its current end, and may be asked. */
  isReady(): boolean;
}

export interface HttpServer {
  /** `http://127.0.0.1:8080`; where it listens everywhere, by the machine's (the container's) name. */
  readonly address: string;
  /** Takes no more, and resolves when what is under way has been answered. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Limits; docs/reference/http.md names them. */
const URL_LENGTH_MAX = 2_048;
const HEADER_BYTES_MAX = 16 * 1024;
const REQUEST_MS = 10_000;
/** A connection on which nothing moves for so long is cut: nobody holds up a stop by reading slowly. */
const IDLE_MS = 10_000;
const CONNECTIONS_MAX = 256;
const BODY_BYTES_MAX = 64 * 1024;

const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const;

/** Serves until closed. @throws Error where the port is taken */
export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX, requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS });
  server.maxConnections = CONNECTIONS_MAX;
  server.setTimeout(IDLE_MS);
  const open = new Set<ServerResponse>();
  server.on('request', (request, response) => {
    open.add(response);
    response.on('close', () => {
      open.delete(response);
      if (open.size === 0 && !server.listening) server.closeAllConnections();
    });
    void respond(options, server, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const name = ['0.0.0.0', '::'].includes(options.host) ? hostname() : options.host;
  const host = name.includes(':') ? `[${name}]` : name;
  return { address: `http://${host}:${port}`, close: () => close(server, open) };
}

async function respond(options: HttpOptions, server: Server, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let answer: Answer;
  try {
    answer = await answerTo(options, request, response);
  } catch (error) {
    if (!isMusterError(error)) options.logger.error({ error: String(error), path: request.url?.slice(0, 100) }, 'an HTTP request failed');
    if (error instanceof HttpRefusal) answer = refusal(error, error.status);
    else answer = refusal(isMusterError(error) ? error : new MusterError('internal', 'a defect; the log has the rest'));
  }
  const body = Buffer.from(answer.body);
  // It may have been lifted for a request that waits.
  request.socket.setTimeout(IDLE_MS);
  const isLast = !server.listening || answer.status === 413;
  response.writeHead(answer.status, {
    ...HEADERS,
    'Content-Type': answer.type,
    'Content-Length': body.length,
    ...answer.headers,
    ...(answer.status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
    ...(isLast ? { Connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function answerTo(options: HttpOptions, request: IncomingMessage, response: ServerResponse): Promise<Answer> {
  const { view, metrics } = options;
  const target = request.url ?? '/';
  if (target.length > URL_LENGTH_MAX) {
    throw new MusterError('bad-request', `the URL has ${target.length} characters, the limit is ${URL_LENGTH_MAX}`);
  }
  const body = boundBody(request);
  const url = URL.parse(target, 'http://replica');
  if (url === null) throw new MusterError('bad-request', 'the URL cannot be read');
  assertAllowed(options.access, request, url.pathname);
  const posted = ownOf(POSTS, url.pathname);
  if (request.method === 'POST' && posted !== undefined) {
    assertMayPost(options.access);
    if (!options.isReady()) throw new MusterError('disconnected', 'it does not follow the cluster at its current end: ask another');
    if (url.search !== '') throw new MusterError('bad-request', 'what is asked is in the body: the URL may have no parameters');
    const { value, status, headers = {} } = await post(options.requests, posted, { request, response, body });
    return { ...json(value, status), headers };
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    const Allow = posted === undefined ? 'GET, HEAD' : READS[url.pathname] === undefined ? 'POST' : 'GET, HEAD, POST';
    return { ...refusal(new MusterError('bad-request', `${request.method} is not served here: ${Allow} is`), 405), headers: { Allow } };
  }
  const query = queryOf(url.searchParams);
  switch (url.pathname) {
    case '/healthz':
      return json({ ok: true });
    case '/readyz':
      return options.isReady()
        ? json({ ok: true })
        : refusal(new MusterError('disconnected', 'it does not follow the cluster at its current end'));
    case '/metrics':
      return { status: 200, type: metrics.contentType, body: await metrics.text() };
    case '/v1/openapi.json':
      return json(openApi(options.version));
  }
  if (url.pathname.startsWith(EXPLAIN)) return explained(view, url.pathname.slice(EXPLAIN.length), query);
  const type = ownOf(READS, url.pathname);
  if (type === undefined) throw new MusterError('not-found', `there is nothing at ${url.pathname.slice(0, 100)}`);
  // What may be asked is what `muster.v1.admin` knows: one schema, one set of limits.
  const read = parse(adminRequestSchema, { ...query, type });
  switch (read.type) {
    case 'status':
      return json(view.status());
    case 'pools':
      return json(view.pools());
    case 'hosts':
      return json(view.hosts());
    case 'slots':
      return json(view.slots(read));
    case 'orgs':
      return json(view.orgs(read.page));
    case 'reservations':
      return json(view.reservations(read));
    case 'intents':
      return json(view.intents(read));
    default:
      throw new Error(`${url.pathname} is no read`);
  }
}

function explained(view: HttpOptions['view'], of: string, query: Readonly<Record<string, string | number>>): Answer {
  if (Object.hasOwn(query, 'of')) throw new MusterError('bad-request', 'of: is not a known field', { field: 'of' });
  const read = parse(adminRequestSchema, { ...query, type: 'explain', of });
  if (read.type !== 'explain') throw new Error(`${read.type} explains nothing`);
  return json(view.explain(read));
}

/**
 * The body; it is read to its end also where nobody wants one, or cut off.
 * @throws MusterError `payload-too-large`
 */
function boundBody(request: IncomingMessage): Promise<Uint8Array> {
  const said = Number(request.headers['content-length'] ?? 0);
  if (said > BODY_BYTES_MAX) throw new MusterError('payload-too-large', `the body has ${said} bytes, the limit is ${BODY_BYTES_MAX}`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > BODY_BYTES_MAX) request.destroy();
  });
  request.on('end', () => resolve(Buffer.concat(chunks)));
  request.on('close', () => reject(new MusterError('bad-request', 'the body broke off')));
  promise.catch(() => undefined);
  return promise;
}

const EXPLAIN = '/v1/explain/';
const READS: Readonly<Record<string, string>> = {
  '/v1/status': 'status',
  '/v1/pools': 'pools',
  '/v1/hosts': 'hosts',
  '/v1/slots': 'slots',
  '/v1/reservations': 'reservations',
  '/v1/orgs': 'orgs',
  '/v1/intents': 'intents',
};
const NUMBERS: readonly string[] = ['page', 'limit'];

/** @throws MusterError `bad-request` where a parameter is there twice, or names what is not for the caller to say */
function queryOf(params: URLSearchParams): Readonly<Record<string, string | number>> {
  const query: Record<string, string | number> = {};
  for (const [name, value] of params) {
    if (name === 'type' || Object.hasOwn(query, name)) {
      const said = name === 'type' ? 'is not a known field' : 'is there twice';
      throw new MusterError('bad-request', `${name.slice(0, 40)}: ${said}`, { field: name });
    }
    query[name] = NUMBERS.includes(name) && value !== '' ? Number(value) : value;
  }
  return query;
}

function json(value: unknown, status = 200): Answer {
  return { status, type: 'application/json; charset=utf-8', body: JSON.stringify(value) };
}

function refusal({ code, message, field }: MusterError, status: number = ERROR_CODES[code].http): Answer {
  return json({ ok: false, error: { code, message, ...(field === undefined ? {} : { field }) } }, status);
}

async function close(server: Server, open: ReadonlySet<ServerResponse>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Also connections that have not asked for anything yet, which Node does not count as idle.
  if (open.size === 0) server.closeAllConnections();
  await closed;
}
