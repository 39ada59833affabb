// The API over HTTP: who asks, what for, what goes wrong on purpose, and the answer.
//
//   H1. A port is kept: the server that went away comes back on the same one.
//   H2. What a client does not read is bounded: a watch whose client falls behind is ended.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type ApiOptions, answer, answerReview, authorizeRequest } from './api.ts';
import { ANONYMOUS, authorizePath } from './authorization.ts';
import { discover } from './discovery.ts';
import type { Fault, FaultPlan } from './faults.ts';
import { FaultySink, HungRequest, refuse, startFault } from './faulty.ts';
import { parseRoute, type Route } from './routes.ts';
import { badRequest, methodNotAllowed, StatusError, tooLarge, unauthorized } from './status-error.ts';
import { Watch } from './watches.ts';
import type { ApiRequest, User, World } from './world.ts';

const BODY_BYTES_MAX = 3 * 1024 * 1024;
/** What a watch may have waiting for its client (H2). */
const WATCH_BYTES_MAX = 16 * 1024 * 1024;

export interface HttpServerOptions extends ApiOptions {
  readonly world: World;
  readonly faults: FaultPlan;
  readonly tls: { readonly key: string; readonly cert: string } | undefined;
  /** Who shows a certificate that `tls.cert` vouches for. Believed before any token. */
  readonly certified: User;
  /** Undefined where nobody has this token. */
  readonly userOf: (token: string) => User | undefined;
  /** Hears of each request that was answered, or will not be. */
  readonly audit: (entry: AuditEntry) => void;
}

/** A request, and what became of it. */
export interface AuditEntry {
  readonly user: string;
  readonly verb: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** 0: it was not answered. */
  readonly status: number;
  /** On the clock's monotonic time. */
  readonly atMs: number;
}

export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port: number;

  constructor(options: HttpServerOptions, port: number) {
    this.#options = options;
    this.#port = port;
  }

  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    const listener = (request: IncomingMessage, response: ServerResponse): void => void this.#serve(request, response);
    const { tls } = this.#options;
    const server =
      tls === undefined
        ? createServer(listener)
        : createTlsServer({ ...tls, ca: tls.cert, requestCert: true, rejectUnauthorized: false }, listener);
    server.keepAliveTimeout = 90_000;
    server.requestTimeout = 0;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Breaks every connection, and takes no new ones. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://double');
    const method = incoming.method ?? 'GET';
    let route: Route = { kind: 'path' };
    let user: User = ANONYMOUS;
    const audit = (status: number): void => this.#audit(user, method, url.pathname, route, status);
    try {
      user = this.#authenticate(incoming);
      route = parseRoute(method, url.pathname, url.searchParams);
      if (route.kind === 'path') {
        authorizePath(user, method, url.pathname);
        sendDiscovery(response, discover(url.pathname));
      } else if (route.kind === 'review') {
        if (method !== 'POST') throw methodNotAllowed();
        const reviewed = answerReview(this.#options.world, user, route.review, await readBody(incoming));
        sendJson(response, reviewed.status, reviewed.text);
      } else {
        await this.#serveObject(incoming, response, route, user, url.searchParams);
      }
      audit(response.statusCode);
    } catch (error) {
      if (error instanceof HungRequest) {
        audit(0);
        if (error.isBroken) incoming.socket.destroy();
        return;
      }
      if (response.headersSent || incoming.socket.destroyed) {
        incoming.socket.destroy();
        return;
      }
      const status =
        error instanceof StatusError ? error : new StatusError(500, 'InternalError', `Internal error occurred: ${String(error)}`);
      sendJson(response, status.code, JSON.stringify(status.status), status.headers);
      audit(status.code);
    }
  }

  async #serveObject(
    incoming: IncomingMessage,
    response: ServerResponse,
    route: Extract<Route, { kind: 'object' }>,
    user: User,
    query: URLSearchParams,
  ): Promise<void> {
    const { world, faults } = this.#options;
    const { verb, resource, subresource, namespace, name } = route;
    if (verb === undefined) throw methodNotAllowed();
    const contentType = (incoming.headers['content-type'] ?? 'application/json').split(';', 1)[0] as string;
    const asked: ApiRequest = { verb, resource, subresource, namespace, name, query, contentType, body: undefined };
    const fault = faults.take(asked, user);
    if (fault?.kind === 'refuse') {
      await drain(incoming);
      refuse(response, fault);
      return;
    }
    await startFault(world.clock, fault);
    authorizeRequest(world, user, asked);
    if (verb === 'watch') {
      this.#watch(incoming, response, asked, fault);
      return;
    }
    const body = await readBody(incoming);
    const {
      status,
      text,
      warnings = [],
    } = answer(world, { ...asked, body }, this.#options, fault?.kind === 'stale' ? fault.revision : undefined);
    if (fault?.kind === 'lose-answer') throw new HungRequest(true);
    if (fault?.kind === 'delay-answer') await startFault(world.clock, { kind: 'delay', ms: fault.ms });
    for (const warning of warnings) response.appendHeader('warning', `299 - ${JSON.stringify(warning)}`);
    sendJson(response, status, text);
  }

  #watch(incoming: IncomingMessage, response: ServerResponse, request: ApiRequest, fault: Fault | undefined): void {
    const watch = new Watch(this.#options.world, request);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const sink = {
      line: (text: string): void => {
        if (response.destroyed || response.writableEnded) return;
        response.write(text);
        if (response.writableLength > WATCH_BYTES_MAX) incoming.socket.destroy();
      },
      end: (): void => void response.end(),
    };
    const stop = (): void => watch.close();
    response.once('close', stop);
    watch.start(fault?.kind === 'watch' ? new FaultySink(sink, response, fault, stop) : sink);
  }

  #authenticate(incoming: IncomingMessage): User {
    if (incoming.socket instanceof TLSSocket && incoming.socket.authorized) return this.#options.certified;
    const header = incoming.headers.authorization;
    if (header === undefined) return ANONYMOUS;
    const user = this.#options.userOf(/^Bearer (.+)$/i.exec(header)?.[1] ?? '');
    if (user === undefined) throw unauthorized();
    return user;
  }

  #audit(user: User, method: string, path: string, route: Route, status: number): void {
    const atMs = this.#options.world.clock.monotonicMs();
    const who = { user: user.name, status, atMs };
    if (route.kind === 'object') {
      const { verb = '', resource, namespace, name, subresource } = route;
      this.#options.audit({ ...who, verb, resource: resource.plural, namespace, name, subresource });
    } else {
      const resource = route.kind === 'review' ? route.review.plural : path;
      this.#options.audit({ ...who, verb: method.toLowerCase(), resource, namespace: '', name: '', subresource: '' });
    }
  }
}

function sendJson(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-cache, private', ...headers });
  response.end(text);
}

function sendDiscovery(response: ServerResponse, found: object | string | undefined): void {
  if (typeof found === 'object') {
    sendJson(response, 200, JSON.stringify(found));
    return;
  }
  response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(found ?? '404 page not found\n');
}

async function drain(incoming: IncomingMessage): Promise<void> {
  incoming.resume();
  if (!incoming.complete) await once(incoming, 'end');
}

async function readBody(incoming: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  if (bytes > BODY_BYTES_MAX) throw tooLarge(BODY_BYTES_MAX);
  if (bytes === 0) return undefined;
  const text = Buffer.concat(chunks).toString();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest(`couldn't get version/kind; json parse error: invalid character in ${JSON.stringify(text.slice(0, 40))}`);
  }
}
