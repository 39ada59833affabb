import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { AccessFolder } from '../cluster/access-folder.ts';
import type { ProcessIdentity } from '../cluster/process-identity.ts';
import { CliError } from '../exit.ts';

const startedSchema = z.object({
  role: z.enum(['nats-server', 'host', 'replica']),
  name: z.string(),
  pid: z.number().int(),
  startTime: z.string(),
});
/** A process that `muster up` started in this folder. */
export type Started = Readonly<z.infer<typeof startedSchema>>;

const stateSchema = z.object({
  v: z.literal(1),
  /** The name cannot change: journals and keys carry it. */
  cluster: z.string(),
  natsPort: z.number().int().optional(),
  /** The pools and orgs that were applied last. */
  appliedHash: z.string().optional(),
  started: z.array(startedSchema),
});
type State = Readonly<z.infer<typeof stateSchema>>;

/** Everything of one cluster on this machine, in one folder. */
export class DataFolder {
  readonly path: string;
  #state: State;

  /** @throws CliError `conflict` where it is another cluster's, `internal` where its notes cannot be read */
  constructor(path: string, cluster: string) {
    this.path = path;
    for (const folder of ['', 'logs', 'run', 'nats']) mkdirSync(join(path, folder), { recursive: true, mode: 0o700 });
    this.#state = this.#read() ?? { v: 1, cluster, started: [] };
    if (this.#state.cluster !== cluster) {
      throw new CliError('conflict', `${path} holds the cluster ${this.#state.cluster}, the configuration names ${cluster}`, {
        hint: 'give another folder with --data',
      });
    }
  }

  get state(): State {
    return this.#state;
  }

  /** On disk when it returns. */
  change(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    const fresh = `${this.#statePath}.new`;
    writeFileSync(fresh, JSON.stringify(this.#state), { mode: 0o600 });
    renameSync(fresh, this.#statePath);
  }

  noteStarted(role: Started['role'], name: string, identity: ProcessIdentity): void {
    const others = this.#state.started.filter((one) => one.name !== name);
    this.change({ started: [...others, { role, name, ...identity }] });
  }

  noteEnded(name: string): void {
    this.change({ started: this.#state.started.filter((one) => one.name !== name) });
  }

  /** The cluster's key; made the first time, for nobody else to read. */
  keyFile(): string {
    const path = join(this.path, 'cluster.key');
    if (!existsSync(path)) {
      writeFileSync(`${path}.new`, randomBytes(32).toString('base64url'), { mode: 0o600 });
      renameSync(`${path}.new`, path);
    }
    return path;
  }

  /** Users of its NATS, and their secrets. */
  get access(): AccessFolder {
    return new AccessFolder(join(this.path, 'access'));
  }

  logFile(name: string): string {
    return join(this.path, 'logs', `${name}.log`);
  }

  readyFile(name: string): string {
    return join(this.path, 'run', `${name}.json`);
  }

  /** Ports files of nats-server. */
  get runFolder(): string {
    return join(this.path, 'run');
  }

  get natsFolder(): string {
    return join(this.path, 'nats');
  }

  /** State of the host agent of this kind. */
  hostFolder(kind: string): string {
    const path = join(this.path, kind === 'process' ? 'host' : `host-${kind}`);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  get #statePath(): string {
    return join(this.path, 'up.json');
  }

  #read(): State | undefined {
    if (!existsSync(this.#statePath)) return undefined;
    try {
      return stateSchema.parse(JSON.parse(readFileSync(this.#statePath, 'utf8')));
    } catch (cause) {
      throw new CliError('internal', `${this.#statePath} cannot be read`, { hint: 'give another folder with --data', cause });
    }
  }
}
