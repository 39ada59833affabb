// What a replica shows over HTTP: health, metrics, and the cluster as its read models have it. Reads only.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ClusterView } from '@muster/pool';
import type { Logger } from '@muster/ports';
import { adminRequestSchema, ERROR_CODES, isMusterError, MusterError, parse } from '@muster/protocol';
import type { PrometheusMetrics } from './prometheus-metrics.ts';

export interface HttpOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly view: ClusterView;
  readonly metrics: PrometheusMetrics;
  readonly logger: Logger;
  isReady(): boolean;
}

export interface HttpServer {
  /** `http://127.0.0.1:8080` */
  readonly address: string;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const URL_LENGTH_MAX = 2_048;
const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'",
  'X-Content-Type-Options': 'nosniff',
} as const;

/** Serves until closed. @throws Error where the port is taken */
export async function serveHttp(options: HttpOptions): Promise<HttpServer> {
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000 }, (request, response) => {
    void respond(options, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return { address: `http://${host}:${port}`, close: () => close(server) };
}

async function respond(options: HttpOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let answer: Answer;
  try {
    answer = await answerTo(options, request);
  } catch (error) {
    if (!isMusterError(error)) options.logger.error({ error: String(error), url: request.url }, 'an HTTP request failed');
    const { code, message, field } = isMusterError(error) ? error : new MusterError('internal', 'a defect; the log has the rest');
    answer = json({ ok: false, error: { code, message, ...(field === undefined ? {} : { field }) } }, ERROR_CODES[code].http);
  }
  response.writeHead(answer.status, { ...HEADERS, 'Content-Type': answer.type });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function answerTo({ view, metrics, isReady }: HttpOptions, request: IncomingMessage): Promise<Answer> {
  const target = request.url ?? '/';
  if (target.length > URL_LENGTH_MAX)
    throw new MusterError('bad-request', `the URL has ${target.length} characters, the limit is ${URL_LENGTH_MAX}`);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return json({ ok: false, error: { code: 'bad-request', message: `${request.method} is not served here: reads only` } }, 405);
  }
  const url = new URL(target, 'http://replica');
  const query = Object.fromEntries(url.searchParams);
  const { page, limit, ...filters } = query;
  const numbers = { ...(page === undefined ? {} : { page: Number(page) }), ...(limit === undefined ? {} : { limit: Number(limit) }) };
  const read = (type: string) => parse(adminRequestSchema, { type, ...filters, ...numbers });
  switch (url.pathname) {
    // Alive means that this line runs: never whether NATS answers, or what is owned (a roll-out must not kill the pool).
    case '/healthz':
      return json({ ok: true });
    case '/readyz':
      return isReady()
        ? json({ ok: true })
        : json({ ok: false, error: { code: 'disconnected', message: 'not following at the current end' } }, 503);
    case '/metrics':
      return { status: 200, type: metrics.contentType, body: await metrics.text() };
    case '/v1/status':
      return json(view.status());
    case '/v1/pools':
      return json(view.pools());
    case '/v1/hosts':
      return json(view.hosts());
    case '/v1/slots': {
      const request = read('slots');
      return json(request.type === 'slots' ? view.slots(request) : undefined);
    }
    case '/v1/orgs': {
      const request = read('orgs');
      return json(request.type === 'orgs' ? view.orgs(request.page) : undefined);
    }
    case '/v1/intents': {
      const request = read('intents');
      return json(request.type === 'intents' ? view.intents(request) : undefined);
    }
    default:
      throw new MusterError('not-found', `there is nothing at ${url.pathname}`);
  }
}

function json(value: unknown, status = 200): Answer {
  return { status, type: 'application/json; charset=utf-8', body: JSON.stringify(value) };
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await closed;
}
