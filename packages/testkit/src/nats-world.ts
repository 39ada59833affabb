import { connectNats, type NatsConnected, type NatsOptions } from '@muster/nats';
import { type Logger, MemoryLogger, SystemClock, SystemRandom } from '@muster/ports';
import { eventually } from './eventually.ts';
import { type NatsServerOptions, startNatsServer, type TestNatsServer } from './nats-server.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/** One process's connection, over a way of its own that can be cut. */
export interface NatsProcess {
  readonly nats: NatsConnected;
  /** Breaks its link; resolves when it knows. */
  cut(): Promise<void>;
  /** Resolves when it is connected again. */
  mend(): Promise<void>;
}

/** A real nats-server, and connections of several processes to it. */
export class NatsWorld implements AsyncDisposable {
  readonly server: TestNatsServer;
  readonly logger = new MemoryLogger();
  readonly #resources: AsyncDisposableStack;

  constructor(server: TestNatsServer, resources: AsyncDisposableStack) {
    this.server = server;
    this.#resources = resources;
  }

  /** A direct connection. */
  async connect(name: string, options: Partial<NatsOptions> = {}): Promise<NatsConnected> {
    const logger: Logger = this.logger.child({ connection: name });
    const tools = { clock: new SystemClock(), random: new SystemRandom(), logger };
    const nats = await connectNats({ servers: [this.server.url], name, ...tools, ...options });
    this.#resources.defer(() => nats.close());
    return nats;
  }

  /** A connection that can be cut off from the server. */
  async connectByProxy(name: string): Promise<NatsProcess> {
    const proxy: TcpProxy = this.#resources.use(await startTcpProxy(this.server.port));
    const nats = await this.connect(name, { servers: [`nats://127.0.0.1:${proxy.port}`] });
    return {
      nats,
      cut: async () => {
        proxy.cut();
        await eventually(() => !nats.bus.isConnected);
      },
      mend: async () => {
        proxy.mend();
        await eventually(() => nats.bus.isConnected);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** Starts a server; all connections and the server end with the world. */
export async function startNatsWorld(options: NatsServerOptions = {}): Promise<NatsWorld> {
  await using resources = new AsyncDisposableStack();
  const server = resources.use(await startNatsServer(options));
  return new NatsWorld(server, resources.move());
}
