// Several nats-servers that are one cluster, each a process with a store of its own.
//
//   T3. Clients are told of no other server than those in their own addresses, so that a way to one can be cut.
import { freePort } from './free-port.ts';
import { startNatsServer, type TestNatsServer } from './nats-server.ts';

export interface NatsClusterOptions {
  /** Path of the program. Default: the first of `natsServerBinaries`. */
  readonly binary?: string;
  /** Default 3. */
  readonly size?: number;
  /** Further lines of every server's configuration file. */
  readonly config?: string;
}

/** A cluster of nats-servers on 127.0.0.1; the servers' names are `n1`, `n2`, … */
export class TestNatsCluster implements AsyncDisposable {
  readonly servers: readonly TestNatsServer[];

  constructor(servers: readonly TestNatsServer[]) {
    this.servers = servers;
  }

  /** Addresses of all, separated by commas as `MUSTER_NATS_URL` has them. */
  get url(): string {
    return this.servers.map(({ url }) => url).join(',');
  }

  /** The server of a name that JetStream gives, as that of a stream's leader. */
  server(name: string): TestNatsServer {
    const server = this.servers[Number(name.slice(1)) - 1];
    if (server === undefined) throw new Error(`the cluster has no server ${name}`);
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

const TRIES = 3;

/** Starts a cluster; `await using` ends it. It may need some seconds more before JetStream has a leader. */
export async function startNatsCluster(options: NatsClusterOptions = {}): Promise<TestNatsCluster> {
  for (let tries = 1; ; tries++) {
    try {
      return await tryStart(options);
    } catch (error) {
      // The routes' ports were free when they were chosen, and somebody was faster.
      if (tries === TRIES) throw error;
    }
  }
}

async function tryStart({ size = 3, config = '', binary }: NatsClusterOptions): Promise<TestNatsCluster> {
  const routePorts = await Promise.all(Array.from({ length: size }, freePort));
  const routes = routePorts.map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
  const starting = routePorts.map((port, at) => {
    const cluster = `cluster { name: test, listen: "127.0.0.1:${port}", no_advertise: true, routes: [${routes}] }`;
    return startNatsServer({ ...(binary === undefined ? {} : { binary }), config: `server_name: n${at + 1}\n${cluster}\n${config}` });
  });
  const settled = await Promise.allSettled(starting);
  const started = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = settled.find((one) => one.status === 'rejected');
  const cluster = new TestNatsCluster(started);
  if (failed === undefined) return cluster;
  await cluster[Symbol.asyncDispose]();
  throw failed.reason;
}
