// The worker over HTTP: POST /query for the holder of the reservation, GET /health for anybody.
//
// Invariants:
//   H1. Nothing of the request is looked at before the token is: whoever does not hold the reservation learns nothing.
//   H2. Health waits for nothing: it is answered from what is in memory, on the thread that runs no SQL.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock, Logger } from '@muster/ports';
import { HttpError, toHttpError } from './http-errors.ts';
import { Interruption } from './interruption.ts';
import { readQueryRequest } from './query-request.ts';
import { writeResult } from './result-writer.ts';
import type { Tenancy } from './tenancy.ts';

const CONNECTIONS_MAX = 256;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 65_000;

export interface QueryServerOptions {
  readonly tenancy: Tenancy;
  /** True for the token of the reservation that is served now; must take as long for any other. */
  isHolder(token: string): boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Address to listen on. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Host in the endpoint; absent: `host`. */
  readonly advertise?: string | undefined;
  readonly bodyBytesMax: number;
  /** The longest that a statement may take, its waiting and its reading by the caller included. */
  readonly statementTimeoutMs: number;
}

export class QueryServer {
  /** `http://127.0.0.1:41234` */
  readonly endpoint: string;
  readonly #server: Server;

  private constructor(server: Server, endpoint: string) {
    this.#server = server;
    this.endpoint = endpoint;
  }

  /** Resolves when it listens; rejects with Node's error where it cannot. */
  static async start(options: QueryServerOptions): Promise<QueryServer> {
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS });
    server.maxConnections = CONNECTIONS_MAX;
    server.on('request', (request, response) => void answer(options, request, response));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
    await promise;
    const host = options.advertise ?? options.host;
    const { port } = server.address() as AddressInfo;
    return new QueryServer(server, `http://${host.includes(':') ? `[${host}]` : host}:${port}`);
  }

  /** Stops listening and cuts what is left of connections. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    await promise;
  }
}

async function answer(options: QueryServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await route(options, request, response);
  } catch (error) {
    const said = toHttpError(error);
    if (said.code === 'internal' && !request.destroyed) options.logger.error({ error: String(said.cause) }, 'a request failed');
    if (response.headersSent || response.destroyed) return void response.destroy();
    // A body that was not read to its end would be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    respond(response, said.status, said.body);
  }
}

async function route(options: QueryServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url?.split('?', 1)[0];
  if (path === '/health') {
    allow(request, response, 'GET');
    return health(options.tenancy, response);
  }
  if (path !== '/query') throw new HttpError('not-found', 'there are POST /query and GET /health');
  allow(request, response, 'POST');
  await query(options, request, response);
}

function allow(request: IncomingMessage, response: ServerResponse, method: string): void {
  if (request.method === method) return;
  response.setHeader('allow', method);
  throw new HttpError('method-not-allowed', `is ${method} only`);
}

function health(tenancy: Tenancy, response: ServerResponse): void {
  const { database, isDraining } = tenancy;
  const isFailed = database?.failure !== undefined;
  const state = isFailed ? 'failed' : isDraining ? 'draining' : database === undefined ? 'neutral' : 'active';
  const body = { ok: !isFailed, state, running: database?.running ?? 0, waiting: database?.waiting ?? 0 };
  respond(response, isFailed ? 503 : 200, JSON.stringify(body));
}

async function query(options: QueryServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { tenancy, clock } = options;
  if (tenancy.isDraining) throw new HttpError('shutting-down', 'the worker is draining');
  if (tenancy.database === undefined) throw new HttpError('not-active', 'the worker serves no reservation');
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined || !options.isHolder(token)) {
    response.setHeader('www-authenticate', 'Bearer');
    throw new HttpError('unauthorized', "wants the reservation's token: Authorization: Bearer <token>");
  }
  const { sql, params, timeoutMs } = await readQueryRequest(request, options.bodyBytesMax);
  // The reservation may have ended, and another one begun, while the body came in.
  const database = options.isHolder(token) ? tenancy.database : undefined;
  if (database === undefined) throw new HttpError('ended', 'the reservation has ended');
  const interruption = new Interruption();
  const timer = clock.setTimer(Math.min(timeoutMs ?? options.statementTimeoutMs, options.statementTimeoutMs), () =>
    interruption.interrupt('timeout'),
  );
  response.once('close', () => interruption.interrupt('gone'));
  try {
    await database.query({ sql, parameters: params }, interruption, (result) => writeResult(response, result, interruption));
  } finally {
    timer.cancel();
  }
}

function respond(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
