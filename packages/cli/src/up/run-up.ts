import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AccessFolder } from '../cluster/access-folder.ts';
import type { ConfigurationFile } from '../cluster/configuration-file.ts';
import type { NatsTarget } from '../cluster/find-servers.ts';
import { identityOf } from '../cluster/process-identity.ts';
import { RunFiles } from '../cluster/run-file.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../exit.ts';
import { DataFolder } from './data-folder.ts';
import { endProcesses, workersOf } from './end-processes.ts';
import { lockFolder } from './folder-lock.ts';
import { type ClusterReady, LocalCluster } from './local-cluster.ts';
import type { ServicePrograms } from './service-programs.ts';

export interface UpOptions {
  readonly configuration: ConfigurationFile;
  readonly replicas: number;
  readonly httpPort: number;
  /** Where everything lies and stays; absent: a folder that goes at the end. */
  readonly data: string | undefined;
  readonly programs: ServicePrograms;
  /** A folder of `muster nats-config`, for servers that the configuration names. */
  readonly access?: string | undefined;
  readonly say: (line: string) => void;
}

/** A cluster that was brought up. */
export interface RunningCluster {
  readonly cluster: LocalCluster;
  readonly ready: ClusterReady;
  /** Its NATS, for its administrator. */
  readonly target: NatsTarget;
  /** The data folder. */
  readonly folder: string;
}

/** A second signal within this time belongs to the first: a terminal and a launcher each pass on a Ctrl-C. */
const SAME_SIGNAL_MS = 1_000;
const ABANDONED_GRACE_MS = 5_000;

/**
 * Brings a cluster up, hands it to `use` when it is ready, and ends it afterwards; also at a SIGINT or SIGTERM, on which
 * `use`'s signal is aborted. A second signal ends everything at once.
 * @throws CliError where it does not come up; what `use` throws
 */
export async function runUp<T>(
  context: CliContext,
  options: UpOptions,
  use: (running: RunningCluster, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { configuration, say } = options;
  const { clock, environment } = context;
  const stop = new AbortController();
  let cluster: LocalCluster | undefined;
  let stoppedMs: number | undefined;
  let forced: Promise<void> | undefined;
  await using resources = new AsyncDisposableStack();
  // First, so that it ends last: a signal in the middle of clearing up must not leave half of it.
  const stopListening = context.onStopSignal((signal) => {
    const nowMs = clock.monotonicMs();
    if (stoppedMs === undefined) {
      stoppedMs = nowMs;
      say(`${signal}: stopping; once more ends everything at once`);
      stop.abort(new CliError('cancelled', `stopped by ${signal}`));
      cluster?.abort(stop.signal.reason);
    } else if (nowMs - stoppedMs > SAME_SIGNAL_MS) forced ??= cluster?.end(false);
  });
  resources.defer(stopListening);

  const runs = new RunFiles(environment.runFolder);
  await endAbandoned(runs, context, say);
  const isTemporary = options.data === undefined;
  const folder = isTemporary ? mkdtempSync(join(realpathSync(environment.tempFolder), 'muster-')) : resolve(context.folder, options.data);
  if (isTemporary) resources.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  else mkdirSync(folder, { recursive: true, mode: 0o700 });
  resources.defer(await lockFolder(folder, clock));
  const data = new DataFolder(folder, configuration.cluster);
  if (isTemporary && configuration.servers !== undefined) {
    say('without --data the key of the cluster is forgotten at the end, and what stays in NATS is of no use to the next one');
  }

  let runFile: string | undefined;
  resources.defer(() => {
    if (runFile !== undefined) runs.remove(runFile);
  });
  stop.signal.throwIfAborted();
  const access = options.access === undefined ? undefined : new AccessFolder(resolve(context.folder, options.access));
  const starting = new LocalCluster({ ...options, access, context, data });
  cluster = starting;
  resources.defer(async () => {
    await starting.end(true);
    await forced;
  });
  const note = ({ servers, access: { credentials: proof } }: NatsTarget): void => {
    const me = identityOf(process.pid);
    if (me === undefined) return;
    const common = { v: 1, cluster: configuration.cluster, folder, isTemporary } as const;
    const credentials = proof?.kind === 'file' ? { credentials: proof.path } : {};
    runFile = runs.write({ ...common, ...me, ...credentials, servers: [...servers], startedWallMs: clock.wallMs() });
  };
  const ready = await starting.start(note);
  return await use({ cluster: starting, target: starting.target, ready, folder }, stop.signal);
}

/** Ends what a `muster up` without `--data` left when it was killed: nobody can come back to that folder. */
async function endAbandoned(runs: RunFiles, { clock }: CliContext, say: (line: string) => void): Promise<void> {
  for (const { path, run } of runs.abandoned()) {
    if (run.isTemporary) {
      say(`clearing up ${run.folder}, left by a muster up that was killed`);
      await endProcesses(tryStarted(run.folder, run.cluster), clock, ABANDONED_GRACE_MS);
      const workers = ['host', 'host-simulated'].flatMap((host) => workersOf(join(run.folder, host)));
      await endProcesses(workers, clock, ABANDONED_GRACE_MS);
      rmSync(run.folder, { recursive: true, force: true, maxRetries: 5 });
    }
    runs.remove(path);
  }
}

function tryStarted(folder: string, cluster: string): DataFolder['state']['started'] {
  try {
    return new DataFolder(folder, cluster).state.started;
  } catch {
    return []; // cleared up by another one at the same time
  }
}
