import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** What the command reads of its environment; nothing else in this package looks at it. */
export interface Environment {
  /** `MUSTER_NATS_URL`: the servers of the cluster, comma-separated. */
  readonly natsUrl: string | undefined;
  /** `MUSTER_NATS_REPLICAS`: copies of the journals, in the place of the file's `nats.replicas`. */
  readonly natsReplicas: number | undefined;
  /** `MUSTER_NATS_SERVER`: the nats-server program to run. */
  readonly natsServer: string | undefined;
  /** `MUSTER_NATS_RELEASES`: where releases of nats-server are fetched from. */
  readonly natsReleases: string | undefined;
  readonly path: string;
  /** Muster's own cache: `$XDG_CACHE_HOME/muster` or `~/.cache/muster`. */
  readonly cacheFolder: string;
  /** Where a running `muster up` says so: `$XDG_RUNTIME_DIR/muster` or `/tmp/muster-<uid>`. */
  readonly runFolder: string;
  /** Where `muster up` without `--data` makes its folder. */
  readonly tempFolder: string;
  /** For child processes. */
  readonly all: Readonly<Record<string, string | undefined>>;
}

/** Reads it once; an empty variable counts as none. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): Environment {
  const runtimeFolder = given(env['XDG_RUNTIME_DIR']);
  const natsReplicas = Number(given(env['MUSTER_NATS_REPLICAS']));
  const cacheHome = given(env['XDG_CACHE_HOME']) ?? join(homedir(), '.cache');
  return {
    natsUrl: given(env['MUSTER_NATS_URL']),
    natsReplicas: Number.isInteger(natsReplicas) ? natsReplicas : undefined,
    natsServer: given(env['MUSTER_NATS_SERVER']),
    natsReleases: given(env['MUSTER_NATS_RELEASES']),
    path: env['PATH'] ?? '',
    cacheFolder: join(cacheHome, 'muster'),
    runFolder: runtimeFolder === undefined ? join('/tmp', `muster-${userInfo().uid}`) : join(runtimeFolder, 'muster'),
    tempFolder: given(env['TMPDIR']) ?? tmpdir(),
    all: env,
  };
}

function given(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value.trim();
}
