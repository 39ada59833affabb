// A whole cluster on this machine: nats-server, host agents, replicas; and their workers when it ends.
//
// Owns: the processes of one data folder, from start to end. Does not own: what they decide.
// Invariants:
//   U1. What it started is noted in the folder; what is left of an earlier run is ended before anything starts. Workers
//       are kept: their agent finds them again.
//   U2. It is ready when every replica says so and every pool has its floor warm; it says what is missing meanwhile.
//   U3. The end goes against the start: replicas (they hand over and stop), agents, workers, nats-server.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { MessageBus } from '@muster/ports';
import { isMusterError, natsAccessOf, type PoolSummary } from '@muster/protocol';
import { z } from 'zod';
import type { AccessFolder } from '../cluster/access-folder.ts';
import { askAdmin } from '../cluster/ask-admin.ts';
import { tryDescribeCold } from '../cluster/cold-pools.ts';
import type { ConfigurationFile } from '../cluster/configuration-file.ts';
import type { NatsTarget } from '../cluster/find-servers.ts';
import { identityOf, isRunning } from '../cluster/process-identity.ts';
import type { CliContext } from '../context.ts';
import { CliError, cliErrorOf } from '../exit.ts';
import { findNatsServer } from '../nats-server/find-nats-server.ts';
import { formatMs } from '../output/format.ts';
import type { DataFolder, Started } from './data-folder.ts';
import { endProcesses, workersOf } from './end-processes.ts';
import { localAccess } from './local-access.ts';
import { choosePort, forgetPortOf, natsLaunch, tryPortOf } from './nats-launch.ts';
import type { ServicePrograms } from './service-programs.ts';
import { type Launch, SupervisedProcess } from './supervised-process.ts';
import { until } from './until.ts';

const NATS_START_MS = 20_000;
/** A program that fails so often before it was ever ready will not do better. */
const START_FAILURES_MAX = 4;
/** Starts that ask for the address that a replica had; something else may listen there by now. */
const ADDRESS_TRIES = 3;
const SAY_AGAIN_MS = 15_000;
const REPLICA_GRACE_MS = 15_000;
const AGENT_GRACE_MS = 10_000;
const WORKER_GRACE_MS = 10_000;
const NATS_GRACE_MS = 10_000;

const readySchema = z.object({ id: z.string(), pid: z.number().int(), http: z.string().nullable() });
export type ReplicaReady = Readonly<z.infer<typeof readySchema>>;

/** What `muster up --json` prints when it is ready. */
export interface ClusterReady {
  /** Servers, comma-separated. */
  readonly nats: string;
  readonly replicas: readonly ReplicaReady[];
  readonly hosts: readonly { readonly id: string; readonly pid: number }[];
  readonly pools: readonly PoolSummary[];
}

export interface LocalClusterOptions {
  readonly context: CliContext;
  readonly configuration: ConfigurationFile;
  readonly data: DataFolder;
  readonly replicas: number;
  /** Of the first replica, the next ones above it; 0: any. */
  readonly httpPort: number;
  readonly programs: ServicePrograms;
  /** Users of the servers that the configuration names; absent: the environment says who all processes are. */
  readonly access: AccessFolder | undefined;
  /** Told what happens, line by line. */
  readonly say: (line: string) => void;
}

export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #stop = new AbortController();
  readonly #replicas: SupervisedProcess[] = [];
  readonly #agents = new Map<string, SupervisedProcess>();
  #nats: SupervisedProcess | undefined;
  #servers: readonly string[] = [];
  /** Whose credentials its processes have; undefined where the environment says who they are. */
  #access: AccessFolder | undefined;
  #bus: MessageBus | undefined;
  #isReady = false;

  constructor(options: LocalClusterOptions) {
    this.#options = options;
  }

  /**
   * Starts everything, and resolves when it is ready (U2), however long that takes. `natsRuns` is told the servers as soon
   * as they answer: from then on other commands can look on.
   * @throws CliError where a program does not come up, or a replica refuses the configuration; the reason of `abort`
   */
  async start(natsRuns: (target: NatsTarget) => void): Promise<ClusterReady> {
    await this.#endLeftovers();
    const { configuration, context } = this.#options;
    this.#access = this.#options.access;
    this.#servers = configuration.servers ?? [await this.#startNats()];
    if (this.#access !== undefined) await this.#setUp();
    this.#bus = await context.connect(this.target);
    natsRuns(this.target);
    const { drivers } = configuration;
    for (const kind of ['process', 'simulated']) if (drivers.includes(kind)) this.#startAgent(kind);
    for (let n = 1; n <= this.#options.replicas; n++) this.#startReplica(n);
    await this.#say('replicas', () => {
      const missing = this.#replicas.filter((replica) => this.#readyOf(replica) === undefined);
      return missing.length === 0 ? undefined : `${missing.map(({ name }) => name).join(', ')} not ready`;
    });
    await this.#apply(this.#bus);
    const hosts = await this.#waitForHosts(this.#bus);
    const pools = await this.#waitForFloors(this.#bus, hosts);
    this.#isReady = true;
    return { nats: this.#servers.join(','), replicas: this.replicas(), hosts, pools };
  }

  /** Its NATS, for its administrator. */
  get target(): NatsTarget {
    return this.#targetOf('admin');
  }

  /** As they are now; a replica that is being started again is left out. */
  replicas(): readonly ReplicaReady[] {
    return this.#replicas.flatMap((replica) => this.#readyOf(replica) ?? []);
  }

  /** Ends a `start` that is under way. */
  abort(reason: unknown): void {
    this.#stop.abort(reason);
  }

  /** Ends everything, in order (U3); without `isGraceful` at once. Never throws for what has ended already. */
  async end(isGraceful: boolean): Promise<void> {
    const { data, say, context } = this.#options;
    this.#stop.abort(new CliError('cancelled', 'stopped'));
    const grace = (ms: number) => (isGraceful ? ms : 0);
    await this.#bus?.close();
    say(`stopping ${this.#replicas.length} replicas`);
    await Promise.all(this.#replicas.map((replica) => replica.stop(grace(REPLICA_GRACE_MS))));
    for (const agent of this.#agents.values()) await agent.stop(grace(AGENT_GRACE_MS));
    const workers = [...this.#agents.keys()].flatMap((kind) => workersOf(data.hostFolder(kind)));
    if (workers.length > 0) say(`stopping ${workers.length} workers`);
    const killed = await endProcesses(workers, context.clock, grace(WORKER_GRACE_MS));
    if (killed > 0 && isGraceful) say(`${killed} workers did not end in ${formatMs(WORKER_GRACE_MS)}, and were killed`);
    await this.#nats?.stop(grace(NATS_GRACE_MS));
    data.change({ started: [] });
  }

  /** U1. The order is that of an end. */
  async #endLeftovers(): Promise<void> {
    const { data, context } = this.#options;
    const left = data.state.started.filter(isRunning);
    if (left.length > 0) this.#options.say(`ending what an earlier muster up left: ${left.map(({ name }) => name).join(', ')}`);
    const graces: readonly (readonly [Started['role'], number])[] = [
      ['replica', REPLICA_GRACE_MS],
      ['host', AGENT_GRACE_MS],
      ['nats-server', NATS_GRACE_MS],
    ];
    for (const [role, graceMs] of graces) {
      const ofRole = left.filter((one) => one.role === role);
      await endProcesses(ofRole, context.clock, graceMs);
    }
    data.change({ started: [] });
  }

  async #startNats(): Promise<string> {
    const { context, data, configuration, say } = this.#options;
    const program = await findNatsServer({ environment: context.environment, say });
    say(`nats-server ${program.version} (${program.from === 'PATH' ? 'on the PATH' : `from ${program.from}`}: ${program.path})`);
    const { access, server: accessLines } = await localAccess(data, configuration.cluster, program.version);
    this.#access = access;
    let port = await choosePort(data);
    const server = this.#supervise('nats-server', 'nats-server', () =>
      natsLaunch(program.path, data, configuration.cluster, port, accessLines, context.environment.all),
    );
    this.#nats = server;
    server.start();
    const look = (): number | undefined => (server.identity === undefined ? undefined : tryPortOf(program.path, data, server.identity.pid));
    const found = await until(look, { clock: context.clock, timeoutMs: NATS_START_MS, signal: this.#stop.signal });
    if (found === undefined) throw this.#failed(server, `nats-server does not listen on port ${port} after ${formatMs(NATS_START_MS)}`);
    port = found;
    if (server.identity !== undefined) forgetPortOf(program.path, data, server.identity.pid);
    data.change({ natsPort: found });
    return `nats://127.0.0.1:${found}`;
  }

  /** The streams, which replicas may not make. */
  async #setUp(): Promise<void> {
    const { context, configuration } = this.#options;
    const nats = await context.dial(this.#targetOf('setup'));
    try {
      (await nats.openClusterStore({ cluster: configuration.cluster, replicas: configuration.natsReplicas })).close();
    } finally {
      await nats.close();
    }
  }

  #targetOf(user: string): NatsTarget {
    const { context, configuration } = this.#options;
    const access = natsAccessOf(context.environment.all, configuration.tls);
    if (this.#access === undefined) return { servers: this.#servers, access };
    return { servers: this.#servers, access: { ...access, credentials: { kind: 'file', path: this.#access.credentials(user) } } };
  }

  /** Who a process is to NATS. */
  #accessEnv(user: string): Readonly<Record<string, string>> {
    if (this.#access === undefined) return {};
    return { MUSTER_NATS_CREDS: '', MUSTER_NATS_CREDS_FILE: this.#access.credentials(user) };
  }

  #startAgent(kind: string): void {
    const name = kind === 'process' ? 'host' : `host-${kind}`;
    const { data, programs } = this.#options;
    const launch = () =>
      this.#serviceLaunch(programs.host, {
        ...this.#accessEnv(kind === 'process' ? 'host' : 'simulator'),
        MUSTER_HOST_STATE: data.hostFolder(kind),
        MUSTER_HOST_KIND: kind,
      });
    const agent = this.#supervise('host', name, launch);
    this.#agents.set(kind, agent);
    agent.start();
  }

  #startReplica(n: number): void {
    const { data, httpPort, programs, context } = this.#options;
    const name = `replica-${n}`;
    let lastPort = 0;
    let tries = 0;
    const launch = (): Launch => {
      const before = tryReady(data.readyFile(name));
      if (before !== undefined) [lastPort, tries] = [portOf(before), 0];
      tries += 1;
      // It keeps its address through a restart.
      const ownPort = tries <= ADDRESS_TRIES ? lastPort : 0;
      const port = httpPort === 0 ? ownPort : httpPort + n - 1;
      rmSync(data.readyFile(name), { force: true });
      return this.#serviceLaunch(programs.replica, {
        // A new name for each process: what is in flight for the one before is never taken for its successor's.
        MUSTER_REPLICA_ID: `r${n}-${context.random.id(6)}`,
        MUSTER_HTTP_PORT: String(port),
        ...this.#accessEnv('replica'),
        ...(this.#access === undefined ? {} : { MUSTER_WORKER_CREDS_FILE: this.#access.credentials('worker') }),
        MUSTER_KEY_FILE: data.keyFile(),
        MUSTER_READY_FILE: data.readyFile(name),
      });
    };
    const replica = this.#supervise('replica', name, launch);
    this.#replicas.push(replica);
    replica.start();
  }

  #serviceLaunch(program: string, env: Readonly<Record<string, string>>): Launch {
    const { context, configuration } = this.#options;
    return {
      command: process.execPath,
      args: [program],
      env: {
        ...context.environment.all,
        MUSTER_NATS_URL: this.#servers.join(','),
        MUSTER_CLUSTER: configuration.cluster,
        MUSTER_CONFIG: configuration.path,
        ...env,
      },
      folder: dirname(configuration.path),
    };
  }

  #supervise(role: Started['role'], name: string, launch: () => Launch): SupervisedProcess {
    const { data, context, say } = this.#options;
    const supervised: SupervisedProcess = new SupervisedProcess({
      name,
      logFile: data.logFile(name),
      clock: context.clock,
      launch,
      started: (identity) => data.noteStarted(role, name, identity),
      ended: (how, againMs, failures) => {
        data.noteEnded(name);
        say(`${name} ended (${how}); starting it again in ${formatMs(againMs)}`);
        if (!this.#isReady && failures >= START_FAILURES_MAX) this.abort(this.#failed(supervised, `${name} does not start (${how})`));
      },
    });
    return supervised;
  }

  #failed(supervised: SupervisedProcess, message: string): CliError {
    const said = supervised.logTail(1)[0] ?? '';
    const log = this.#options.data.logFile(supervised.name);
    return new CliError('internal', said === '' ? message : `${message}: ${said.slice(0, 500)}`, { hint: `its log is ${log}` });
  }

  #readyOf({ name, identity }: SupervisedProcess): ReplicaReady | undefined {
    const ready = tryReady(this.#options.data.readyFile(name));
    return ready === undefined || ready.pid !== identity?.pid ? undefined : ready;
  }

  /** The configuration of the file, where the folder has not seen it applied. */
  async #apply(bus: MessageBus): Promise<void> {
    const { data, configuration, say } = this.#options;
    const appliedHash = createHash('sha256').update(configuration.poolsAndOrgs).digest('hex');
    if (data.state.appliedHash === appliedHash) return;
    await this.#say('configuration', async () => {
      try {
        const { warnings } = await askAdmin(bus, { type: 'apply', yaml: configuration.text });
        for (const warning of warnings) say(warning);
        return undefined;
      } catch (error) {
        if (isMusterError(error) && error.retryable) return error.message;
        const { message, field } = cliErrorOf(error);
        throw new CliError('bad-request', `${configuration.path}: ${message}`, { field, cause: error });
      }
    });
    data.change({ appliedHash });
  }

  async #waitForFloors(bus: MessageBus, hosts: ClusterReady['hosts']): Promise<readonly PoolSummary[]> {
    let pools: readonly PoolSummary[] = [];
    await this.#say('pools', async () => {
      try {
        ({ pools } = await askAdmin(bus, { type: 'pools' }));
        const cold = tryDescribeCold(pools);
        if (cold !== undefined) return cold;
        // After a restart the journal still names workers that ended with the cluster, until the new owner has asked the host.
        const { slots } = await askAdmin(bus, { type: 'slots', state: 'warm' });
        const gone = slots.filter(({ pid, host }) => pid !== null && hosts.some(({ id }) => id === host) && identityOf(pid) === undefined);
        return gone.length === 0 ? undefined : `${gone.length} workers of the time before are gone, and being replaced`;
      } catch (error) {
        if (isMusterError(error) && error.retryable) return error.message;
        throw error;
      }
    });
    return pools;
  }

  async #waitForHosts(bus: MessageBus): Promise<ClusterReady['hosts']> {
    let hosts: ClusterReady['hosts'] = [];
    await this.#say('hosts', async () => {
      const pids = [...this.#agents.values()].map(({ identity }) => identity?.pid);
      try {
        const answer = await askAdmin(bus, { type: 'hosts' });
        hosts = answer.hosts.filter(({ pid }) => pids.includes(pid)).map(({ host, pid }) => ({ id: host, pid }));
      } catch (error) {
        if (isMusterError(error) && error.retryable) return error.message;
        throw error;
      }
      return hosts.length === pids.length ? undefined : `${pids.length - hosts.length} not heard by the replicas`;
    });
    return hosts;
  }

  /** Looks until nothing is missing, and says what is when that takes long. */
  async #say(what: string, missing: () => string | undefined | Promise<string | undefined>): Promise<void> {
    const { clock } = this.#options.context;
    let saidMs = clock.monotonicMs();
    const look = async (): Promise<true | undefined> => {
      const said = await missing();
      if (said === undefined) return true;
      if (clock.monotonicMs() - saidMs >= SAY_AGAIN_MS) {
        saidMs = clock.monotonicMs();
        this.#options.say(`waiting for ${what}: ${said}`);
      }
      return undefined;
    };
    await until(look, { clock, signal: this.#stop.signal });
  }
}

function portOf({ http }: ReplicaReady): number {
  return http === null ? 0 : Number(new URL(http).port);
}

function tryReady(path: string): ReplicaReady | undefined {
  try {
    return readySchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined; // not there yet, or half
  }
}
