// A real nats-server for a test: a process of its own, on a port of its own, with a store of its own.
//
//   T1. Nothing outlives its scope: the process is killed and the store removed, also when the test fails, and killed when
//       the test's process exits.
//   T2. It comes back on the same port with the same store, as long as its scope lasts.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { isStopped } from './is-stopped.ts';
import { natsServerBinaries } from './nats-server-binaries.ts';
import { tempDir } from './temp-dir.ts';

export interface NatsServerOptions {
  /** Path of the program. Default: the first of `natsServerBinaries`. */
  readonly binary?: string;
  /** Where JetStream keeps its data; the caller's to remove. Default: a folder that goes with the server. */
  readonly storeDir?: string;
  /** Default: one that nobody has, and that no outgoing connection takes while the server is away. */
  readonly port?: number;
  /** Further lines of the server's configuration file. */
  readonly config?: string;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
/** Lines of its output that are kept, for the report of a failure. */
const OUTPUT_LINES_MAX = 50;

/** A nats-server with JetStream on 127.0.0.1. */
export class TestNatsServer implements AsyncDisposable {
  readonly #binary: string;
  readonly #config: string;
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;
  readonly #output: string[] = [];
  readonly #killAtExit = (): void => void this.#process?.kill('SIGKILL');
  #process: ChildProcess | undefined;
  #port: number;

  constructor(binary: string, folder: string, config: string, port: number, resources: AsyncDisposableStack) {
    this.#binary = binary;
    this.#folder = folder;
    this.#config = config;
    this.#port = port;
    this.#resources = resources;
    process.on('exit', this.#killAtExit);
  }

  get port(): number {
    return this.#port;
  }

  /** `nats://127.0.0.1:<port>` */
  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** Of the running process. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts it, and waits until clients can connect. @throws Error with its output where it does not come up */
  async start(): Promise<void> {
    const configFile = join(this.#folder, 'nats-server.conf');
    await writeFile(configFile, `listen: "127.0.0.1:${this.#port}"\nports_file_dir: ${JSON.stringify(this.#folder)}\n${this.#config}`);
    const child = spawn(this.#binary, ['-c', configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output.push(...text.split('\n').filter((line) => line !== ''));
      this.#output.splice(0, Math.max(0, this.#output.length - OUTPUT_LINES_MAX));
    });
    child.on('error', (error) => this.#output.push(String(error)));
    child.once('exit', () => {
      if (this.#process === child) this.#process = undefined;
    });
    const look = async (): Promise<number> => {
      if (this.#process !== child) return 0;
      const ports = JSON.parse(await readFile(join(this.#folder, `nats-server_${child.pid}.ports`), 'utf8')) as { nats: string[] };
      const port = Number(new URL(ports.nats[0] ?? '').port);
      await greet(port);
      return port;
    };
    const port = await eventually(look, { timeoutMs: START_TIMEOUT_MS });
    if (port === 0) throw new Error(`${this.#binary} ended at once:\n${this.#output.join('\n')}`);
    this.#port = port;
  }

  /** Ends it in order, or after 10 s by force. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** `kill -9` */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Stops it where it runs, and starts it on the same port and store. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Stops its process in its tracks; its connections stay open. Resolves when it stands. */
  async pause(): Promise<void> {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('the server does not run');
    process.kill(pid, 'SIGSTOP');
    await eventually(() => isStopped(pid));
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#killAtExit);
    await this.kill();
    await this.#resources.disposeAsync();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    if (signal !== 'SIGKILL') {
      const isGone = (): boolean => child.exitCode !== null || child.signalCode !== null;
      await eventually(isGone, { timeoutMs: STOP_TIMEOUT_MS }).catch(() => child.kill('SIGKILL'));
    }
    await exited;
  }
}

/** Starts a server; `await using` ends it. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<TestNatsServer> {
  await using resources = new AsyncDisposableStack();
  const binary = options.binary ?? natsServerBinaries()[0]?.path ?? 'nats-server';
  const folder = resources.use(await tempDir()).path;
  const storeDir = options.storeDir ?? join(folder, 'store');
  const config = `jetstream { store_dir: ${JSON.stringify(storeDir)} }\n${options.config ?? ''}\n`;
  const server = new TestNatsServer(binary, folder, config, options.port ?? (await freePort()), resources.move());
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

/** Resolves when a server says `INFO` on the port. */
async function greet(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'data');
  } finally {
    socket.destroy();
  }
}
