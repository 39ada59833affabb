// How the API server is reached: the client library reads kubeconfigs, service accounts and credential plug-ins, and gives
// headers and certificates for each request; connections are kept here. (Its own client makes a new agent, and so a new TLS
// connection, for each call.)
import { existsSync } from 'node:fs';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';

/** Opens requests to one API server. */
export interface Transport {
  open(method: string, path: string, headers: Readonly<Record<string, string>>): Promise<ClientRequest>;
  close(): void;
}

/** Which cluster; what is left out is found as kubectl would, and in a pod is the pod's own. */
export interface Connection {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const SOCKETS_MAX = 100;
const KEEP_ALIVE_MS = 30_000;

/** @throws Error where there is no such file or context, or it names no server */
export async function openTransport(connection: Connection): Promise<{ readonly transport: Transport; readonly namespace: string }> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (connection.kubeconfig !== undefined) config.loadFromFile(connection.kubeconfig);
  else if (connection.context === undefined && existsSync(SERVICE_ACCOUNT_TOKEN)) config.loadFromCluster();
  else config.loadFromDefault();
  if (connection.context !== undefined) config.setCurrentContext(connection.context);
  const context = config.getContextObject(config.getCurrentContext());
  const server = config.getCurrentCluster()?.server;
  if (context === null || server === undefined)
    throw new Error(`the kubeconfig has no context ${config.getCurrentContext()} with a server`);
  // The library refuses what is not encrypted unless told that nobody wants it verified: there is nothing to verify.
  if (server.startsWith('http:')) config.clusters = config.clusters.map((cluster) => ({ ...cluster, skipTLSVerify: true }));
  return { transport: new KubeTransport(config, new URL(server)), namespace: connection.namespace ?? context.namespace ?? 'default' };
}

class KubeTransport implements Transport {
  readonly #config: KubeConfig;
  readonly #server: URL;
  readonly #hasProxy: boolean;
  #agent: HttpAgent | undefined;
  #agentKey = '';

  constructor(config: KubeConfig, server: URL) {
    this.#config = config;
    this.#server = server;
    this.#hasProxy = config.getCurrentCluster()?.proxyUrl !== undefined;
  }

  async open(method: string, path: string, headers: Readonly<Record<string, string>>): Promise<ClientRequest> {
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const isTls = this.#server.protocol === 'https:';
    return (isTls ? httpsRequest : httpRequest)({
      ...options,
      method,
      hostname: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port === '' ? (isTls ? 443 : 80) : Number(this.#server.port),
      path: `${this.#server.pathname.replace(/\/$/, '')}${path}`,
      headers: { ...headers, ...(options.headers as OutgoingHttpHeaders | undefined) },
      agent: this.#hasProxy ? options.agent : this.#agentFor(options, isTls),
    });
  }

  close(): void {
    this.#agent?.destroy();
  }

  /** One agent for as long as the certificates are the same: they are files that may be renewed. */
  #agentFor(options: RequestOptions, isTls: boolean): HttpAgent {
    const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options;
    const tls = { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized };
    const agentKey = JSON.stringify(Object.values(tls).map(String));
    if (this.#agent === undefined || agentKey !== this.#agentKey) {
      const known = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined && value !== null));
      const keep = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, maxSockets: SOCKETS_MAX };
      const before = this.#agent;
      this.#agent = isTls ? new HttpsAgent({ ...keep, ...known }) : new HttpAgent(keep);
      this.#agentKey = agentKey;
      before?.destroy();
    }
    return this.#agent;
  }
}
