// A whole cluster for one test: a nats-server, host agents and replicas, each a real process.
//
//   C1. Whatever it started ends with its scope, workers too, also when the test fails.
//   C2. When the test fails, the end of every process's log is printed.
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type MusterClient } from '@muster/client';
import { connectNats } from '@muster/nats';
import { type MessageBus, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import {
  type AdminAnswers,
  type AdminRequestInput,
  decode,
  type ErrorAnswer,
  type ErrorCode,
  encode,
  isMusterError,
  MusterError,
  type NatsAccess,
  type NatsTls,
  type PoolSummary,
  type RefResult,
  type ReservationRef,
  type ReserveAnswer,
  type ReserveRequest,
  type ShardSummary,
  type SlotSummary,
  stores,
  subjects,
} from '@muster/protocol';
import {
  eventually,
  type NatsServerBinary,
  natsServerBinaries,
  startNatsCluster,
  startNatsServer,
  type TestNatsServer,
  tempDir,
} from '@muster/testkit';
import { onTestFailed } from 'vitest';
import { type Link, startLink } from './link.ts';
import { PlainNats } from './plain-nats.ts';
import { ServiceProcess } from './service-process.ts';
import { endWorkers, workerPids } from './worker-processes.ts';

const REPLICA = programOf('control-plane');
const HOST = programOf('host');
/** For everything that has to come about on a machine that does other things too. */
export const SLOW = { timeoutMs: 120_000, everyMs: 50 } as const;
const TAIL_LINES = 25;
/** How long an answer is waited for that should be there at once, before the same is asked again. */
export const TRY_MS = 2_500;

/** Answers that state nothing: the outcome is unknown, and the same is asked again. */
const UNKNOWN_OUTCOMES: readonly ErrorCode[] = ['timeout', 'no-responders', 'disconnected', 'retry-elsewhere'];

/** A pool of workers that are processes and speak SQL; `more` is of its configuration. */
export function duckdbPool(more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return { driver: 'process', worker: { command: ['node', programOf('duckdb-worker')], memory: '256MiB' }, ...more };
}

export type HostKind = 'simulated' | 'process';

export interface ClusterOptions {
  /** As in muster.yaml. */
  readonly pools: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly orgs?: Readonly<Record<string, { readonly max: number }>>;
  /** The section of that name. */
  readonly kubernetes?: Readonly<Record<string, string>>;
  /** Default 3. */
  readonly replicas?: number;
  /** Which workers its host runs; default `simulated`. `both`: two hosts. `none`: no host runs before `startHost`. */
  readonly host?: HostKind | 'both' | 'none';
  /** Default: the newest there is. */
  readonly nats?: NatsServerBinary;
  /** Default 1; 3 are a cluster with three copies of the journals. */
  readonly servers?: 1 | 3;
  /** Every process has a link of its own to NATS, which can be disturbed. Default false. */
  readonly hasLinks?: boolean;
  /** After so much silence a replica's shards are taken; default 1500ms. */
  readonly takeover?: string;
  /** More lines of each nats-server's configuration. */
  readonly natsConfig?: string;
  /** How everything reaches those: files. */
  readonly tls?: Required<NatsTls>;
  /** What the replicas' HTTP wants, as the lines of `MUSTER_HTTP_TOKENS_FILE`. */
  readonly httpTokens?: string;
  /** Made in a hook, not in a test: nothing is printed by itself. */
  readonly isShared?: boolean;
}

/** The newest server of those to test on. */
export function newestNats(): NatsServerBinary {
  const collator = new Intl.Collator('en', { numeric: true });
  const [newest] = [...natsServerBinaries()].sort((one, other) => collator.compare(other.version, one.version));
  if (newest === undefined) throw new Error('there is no nats-server');
  return newest;
}

/** Starts it; resolves when every replica says that it is ready. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await tempDir()).path;
  const servers = await startNats(options, resources);
  await writeFile(join(folder, 'key'), randomBytes(32).toString('base64'), { mode: 0o600 });
  const { pools, orgs = {}, kubernetes = {}, host = 'simulated', tls } = options;
  const files = tls === undefined ? {} : { tls: { ca: tls.caFile, cert: tls.certFile, key: tls.keyFile } };
  const nats = { replicas: servers.length, ...files };
  const config = { cluster: { name: 'test' }, nats, host: { memoryBudget: '64GiB' }, kubernetes, pools, orgs };
  await writeFile(join(folder, 'muster.yaml'), JSON.stringify(config));
  const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
  const access = tls === undefined ? {} : { tls };
  const connected = await connectNats({ servers: servers.map(({ url }) => url), name: 'test', ...tools, ...access });
  resources.defer(() => connected.close());
  const { bus } = connected;
  const hasTokens = options.httpTokens !== undefined;
  if (hasTokens) await writeFile(join(folder, 'http-tokens'), options.httpTokens, { mode: 0o600 });
  const hasLinks = options.hasLinks === true;
  const takeover = options.takeover ?? '1500ms';
  const cluster = new Cluster({ folder, servers, bus, access, hasLinks, hasTokens, takeover, resources: resources.move() });
  if (options.isShared !== true) onTestFailed(() => void process.stderr.write(cluster.report()));
  try {
    const starting = Array.from({ length: options.replicas ?? 3 }, () => cluster.startReplica());
    const kinds = host === 'both' ? (['simulated', 'process'] as const) : host === 'none' ? [] : [host];
    await Promise.all([...starting, ...kinds.map((kind) => cluster.startHost(kind))]);
  } catch (error) {
    process.stderr.write(cluster.report());
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}

async function startNats(options: ClusterOptions, resources: AsyncDisposableStack): Promise<readonly TestNatsServer[]> {
  const binary = (options.nats ?? newestNats()).path;
  const config = options.natsConfig ?? '';
  if (options.servers === 3) return resources.use(await startNatsCluster({ binary, config })).servers;
  return [resources.use(await startNatsServer({ binary, config }))];
}

interface ClusterParts {
  readonly folder: string;
  readonly servers: readonly TestNatsServer[];
  readonly bus: MessageBus;
  readonly access: NatsAccess;
  readonly hasLinks: boolean;
  readonly hasTokens: boolean;
  readonly takeover: string;
  readonly resources: AsyncDisposableStack;
}

export class Cluster implements AsyncDisposable {
  readonly servers: readonly TestNatsServer[];
  /** A connection of the test's own, which comes back after the server does. */
  readonly bus: MessageBus;
  /** Running replicas by id. */
  readonly replicas = new Map<string, ServiceProcess>();
  readonly #http = new Map<string, string>();
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;
  readonly #processes: ServiceProcess[] = [];
  readonly #access: NatsAccess;
  readonly #hasLinks: boolean;
  readonly #hasTokens: boolean;
  readonly #takeover: string;
  readonly #links = new Map<string, Link>();
  readonly #hosts = new Map<HostKind, { readonly process: ServiceProcess; readonly natsUrl: string; id: string }>();
  #replicaCount = 0;
  #lastWords: string | undefined;

  constructor({ folder, servers, bus, access, hasLinks, hasTokens, takeover, resources }: ClusterParts) {
    this.#folder = folder;
    this.servers = servers;
    this.bus = bus;
    this.#access = access;
    this.#hasLinks = hasLinks;
    this.#hasTokens = hasTokens;
    this.#takeover = takeover;
    this.#resources = resources;
  }

  /** The only nats-server, or the first. */
  get nats(): TestNatsServer {
    const [first] = this.servers;
    if (first === undefined) throw new Error('there is no nats-server');
    return first;
  }

  // --- processes ---------------------------------------------------------------------------------------------------

  /** A new replica, with an id that no other had. */
  async startReplica(): Promise<ServiceProcess> {
    const id = `r${++this.#replicaCount}`;
    const replica = await this.#make(id, REPLICA, {
      MUSTER_REPLICA_ID: id,
      MUSTER_KEY_FILE: join(this.#folder, 'key'),
      MUSTER_HTTP_PORT: '0',
      MUSTER_TAKEOVER: this.#takeover,
      ...(this.#hasTokens ? { MUSTER_HTTP_TOKENS_FILE: join(this.#folder, 'http-tokens') } : {}),
    });
    const { http } = await replica.start();
    this.replicas.set(id, replica);
    this.#http.set(id, http ?? '');
    return replica;
  }

  /** The host agent; one that was killed comes back to its folder. */
  async startHost(kind: HostKind): Promise<ServiceProcess> {
    let host = this.#hosts.get(kind);
    if (host === undefined) {
      const folder = join(this.#folder, `host-${kind}`);
      await mkdir(folder, { mode: 0o700 });
      const process = await this.#make(`host-${kind}`, HOST, { MUSTER_HOST_STATE: folder, MUSTER_HOST_KIND: kind });
      host = { process, natsUrl: (await this.#urls(process.name)).join(','), id: '' };
      this.#hosts.set(kind, host);
    }
    host.id = (await host.process.start()).id;
    return host.process;
  }

  hostOf(kind: HostKind): ServiceProcess {
    const host = this.#hosts.get(kind);
    if (host === undefined) throw new Error(`no ${kind} host agent was started`);
    return host.process;
  }

  /** The only host agent. */
  get host(): ServiceProcess {
    const [only] = this.#hosts.values();
    if (only === undefined) throw new Error('no host agent was started');
    return only.process;
  }

  /** The way to NATS of a replica, a host agent, or `clients`. */
  async link(name: string): Promise<Link> {
    const known = this.#links.get(name);
    if (known !== undefined) return known;
    const link = this.#resources.use(await startLink(this.servers));
    this.#links.set(name, link);
    return link;
  }

  /** The server that leads the stream of the journals. */
  async leader(): Promise<TestNatsServer> {
    if (this.servers.length === 1) return this.nats;
    return eventually(async () => {
      const message = await this.bus.request(`$JS.API.STREAM.INFO.${stores.stream('test')}`, new Uint8Array(0), { timeoutMs: 2_000 });
      const { cluster } = decode(message.data) as { readonly cluster?: { readonly leader?: string } };
      return this.servers[Number(cluster?.leader?.slice(1)) - 1] ?? (false as const);
    }, SLOW);
  }

  replica(id: string): ServiceProcess {
    const replica = this.replicas.get(id);
    if (replica === undefined) throw new Error(`there is no replica ${id}`);
    return replica;
  }

  async killReplica(id: string): Promise<void> {
    await this.replica(id).kill();
    this.replicas.delete(id);
  }

  /** SIGTERM. @returns its exit code */
  async stopReplica(id: string): Promise<number | null> {
    const code = await this.replica(id).stop();
    this.replicas.delete(id);
    return code;
  }

  /** Workers that run as processes of their own. */
  workerPids(): readonly number[] {
    const host = this.#hosts.get('process');
    return host === undefined ? [] : workerPids(host.natsUrl, join(this.#folder, 'host-process'));
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  async client(): Promise<MusterClient> {
    return connect({ servers: await this.#urls('clients'), name: 'test-client', ...this.#access });
  }

  plain(): Promise<PlainNats> {
    return PlainNats.connect(this.nats.port);
  }

  /** Asks any replica, again where one does not answer. */
  async admin<R extends AdminRequestInput>(request: R): Promise<AdminAnswers[R['type']]> {
    return eventually(async () => {
      const message = await this.bus.request(subjects.admin(), encode(request), { timeoutMs: 3_000 });
      const answer = decode(message.data) as AdminAnswers[R['type']] | ErrorAnswer;
      if (!answer.ok) throw new Error(`${request.type}: ${JSON.stringify(answer.error)}`);
      return answer;
    }, SLOW);
  }

  /** `GET` of one replica's HTTP. */
  async get(replica: string, path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.#http.get(replica)), { signal: AbortSignal.timeout(10_000), ...init });
  }

  /** What one replica itself says, by its HTTP. */
  async read<T extends 'status' | 'slots' | 'intents'>(replica: string, what: T): Promise<AdminAnswers[T]> {
    return (await (await this.get(replica, `/v1/${what}`)).json()) as AdminAnswers[T];
  }

  async pool(name: string): Promise<PoolSummary> {
    const { pools } = await this.admin({ type: 'pools' });
    const pool = pools.find((one) => one.pool === name);
    if (pool === undefined) throw new Error(`there is no pool ${name}`);
    return pool;
  }

  /** The slots of a pool, once they are in these states and no others; what is shown may be a moment old. */
  async slotsIn(pool: string, states: readonly string[]): Promise<readonly SlotSummary[]> {
    return eventually(async () => {
      const slots = await this.slots(pool);
      const found = slots.map(({ state }) => state).toSorted();
      if (found.join() !== states.toSorted().join()) throw new Error(`not yet ${states.join()}: ${found.join()}`);
      return slots;
    }, SLOW);
  }

  async slots(pool: string): Promise<readonly SlotSummary[]> {
    return (await this.admin({ type: 'slots', pool })).slots;
  }

  /** Resolves when the pool has so many warm and reserved, and nothing on its way. What is shown may be a moment old. */
  async warm(name: string, warm: number, reserved = 0): Promise<void> {
    await eventually(async () => assertMatch(await this.pool(name), { warm, reserved, spawning: 0 }), SLOW);
  }

  /** The shard, once it has an owner that runs; as any replica shows it, or `seenBy`. */
  async shard(name: string, seenBy?: string): Promise<ShardSummary & { readonly owner: string }> {
    return eventually(
      async () => {
        const { shards, replicas } = await (seenBy === undefined ? this.admin({ type: 'status' }) : this.read(seenBy, 'status'));
        const shard = shards.find((one) => one.shard === name);
        const owner = shard?.owner ?? '';
        const isHeld = replicas.some(({ id, isAlive, shards: held }) => id === owner && isAlive && held.includes(name));
        if (shard === undefined || !isHeld || !this.replicas.has(owner)) return false as const;
        return { ...shard, owner };
      },
      { ...SLOW, everyMs: 20 },
    );
  }

  /** One plain request to the public subject, sent once. @throws MusterError `timeout`, `no-responders`, `disconnected` */
  async reserveOnce(pool: string, request: ReserveRequest, timeoutMs: number): Promise<ReserveAnswer> {
    const message = await this.bus.request(subjects.reserve(pool), encode(request), { timeoutMs });
    return decode(message.data) as ReserveAnswer;
  }

  /** The same request again, with its id, until somebody answers; `tryMs` is how long one try is waited for. */
  async reserve(
    pool: string,
    request: ReserveRequest & { readonly requestId: string },
    tryMs = (request.waitMs ?? 0) + 4_000,
  ): Promise<ReserveAnswer> {
    return this.#untilAnswered(async () => {
      const answer = await this.reserveOnce(pool, request, tryMs);
      if (!answer.ok && 'error' in answer) assertOutcome(answer.error);
      return answer;
    });
  }

  /**
   * Renews or releases one reservation, until somebody answers; `onTry` is called before each message. A release is done, too,
   * where a try did it whose answer did not come.
   */
  async settle(what: 'renew' | 'release', ref: ReservationRef, onTry: () => void = () => undefined): Promise<RefResult> {
    let tries = 0;
    return this.#untilAnswered(async () => {
      onTry();
      tries += 1;
      const body = encode([{ id: ref.id, epoch: ref.epoch }]);
      const message = await this.bus.request(subjects[what](), body, { timeoutMs: TRY_MS });
      const answer = decode(message.data) as { readonly ok: true; readonly results: readonly RefResult[] } | ErrorAnswer;
      if (!answer.ok) {
        assertOutcome(answer.error);
        throw new Error(`${what}: ${JSON.stringify(answer.error)}`);
      }
      const [result] = answer.results;
      if (result === undefined) throw new Error(`${what}: no result`);
      if (result.ok) return result;
      assertOutcome(result.error);
      const isDoneBefore = what === 'release' && tries > 1 && result.error.code === 'ended' && result.error.reason === 'released';
      return isDoneBefore ? { id: result.id, ok: true } : result;
    });
  }

  /** Slots whose workers the host agents have running, by their own lists. */
  async runningSlots(): Promise<readonly string[]> {
    const lists = [...this.#hosts.values()].map(async ({ id }) => {
      const message = await this.bus.request(subjects.hostDriver(id), encode({ type: 'list' }), { timeoutMs: 5_000 });
      const { workers } = decode(message.data) as { workers: readonly { slot: string; state: string }[] };
      return workers.filter(({ state }) => state === 'running').map(({ slot }) => slot);
    });
    return (await Promise.all(lists)).flat();
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /** The end of every process's log. */
  report(): string {
    return this.#lastWords ?? this.#processes.map((one) => `--- ${one.name}\n${one.tail(TAIL_LINES)}\n`).join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lastWords = this.report();
    await Promise.all(this.#processes.map((one) => one.end()));
    const host = this.#hosts.get('process');
    if (host !== undefined) await endWorkers(host.natsUrl, join(this.#folder, 'host-process'));
    await this.#resources.disposeAsync();
  }

  async #urls(name: string): Promise<readonly string[]> {
    return this.#hasLinks ? (await this.link(name)).urls : this.servers.map(({ url }) => url);
  }

  async #make(name: string, program: string, env: Readonly<Record<string, string>>): Promise<ServiceProcess> {
    const natsUrl = (await this.#urls(name)).join(',');
    const service = new ServiceProcess({
      name,
      folder: this.#folder,
      program,
      env: { MUSTER_NATS_URL: natsUrl, MUSTER_CONFIG: join(this.#folder, 'muster.yaml'), ...env },
    });
    this.#processes.push(service);
    return service;
  }

  async #untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
    const isWorthIt = (error: unknown): boolean => isMusterError(error) && UNKNOWN_OUTCOMES.includes(error.code);
    const answer = await eventually(async () => {
      try {
        return { value: await ask() };
      } catch (error) {
        if (isWorthIt(error)) throw error;
        return { error };
      }
    }, SLOW);
    if ('error' in answer) throw answer.error;
    return answer.value;
  }
}

function programOf(service: string): string {
  return fileURLToPath(new URL(`../../../services/${service}/src/main.ts`, import.meta.url));
}

/** @throws MusterError of an answer that states nothing */
function assertOutcome({ code, message }: ErrorAnswer['error']): void {
  const unknown = UNKNOWN_OUTCOMES.find((one) => one === code);
  if (unknown !== undefined) throw new MusterError(unknown, message);
}

function assertMatch<T extends object>(actual: T, expected: Partial<T>): void {
  const isSame = (Object.keys(expected) as (keyof T)[]).every((key) => actual[key] === expected[key]);
  if (!isSame) throw new Error(`not yet ${JSON.stringify(expected)}: ${JSON.stringify(actual)}`);
}
