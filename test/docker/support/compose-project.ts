// A Compose project of its own for one test: the repository's docker-compose.yml, under another name and on free ports.
//
//   P1. Containers, networks and volumes go with its scope, also when the test fails.
//   P2. When the test fails, the end of its logs is printed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NatsOptions } from '@muster/nats';
import { SystemRandom } from '@muster/ports';
import { eventually, freePort, tempDir } from '@muster/testkit';
import { onTestFailed } from 'vitest';
import { Door, SLOW } from './door.ts';
import { ROOT } from './engine.ts';

const LOG_LINES = 40;
const TLS_FILES = 'docker-compose.yml:deploy/compose/tls.yml';

export interface Said {
  readonly code: number | null;
  /** stdout, then apart from it everything as it came. */
  readonly out: string;
  readonly all: string;
}

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  readonly state: string;
  readonly health: string;
  readonly exitCode: number;
}

export interface ComposeOptions {
  readonly profiles?: readonly string[];
  /** In the place of the repository's muster.yaml. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** NATS over TLS, with deploy/compose/tls.yml. */
  readonly isTls?: boolean;
  /** Made in a hook, not in a test: nothing is printed by itself. */
  readonly isShared?: boolean;
}

/** Nothing runs before `up`. */
export async function composeProject(options: ComposeOptions = {}): Promise<ComposeProject> {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await tempDir()).path;
  const name = `muster-test-${new SystemRandom().id(8)}`;
  const env: Record<string, string> = {
    MUSTER_HTTP: '127.0.0.1:',
    // The same one through a restart, so that connections come back.
    MUSTER_NATS: `127.0.0.1:${await freePort()}`,
    COMPOSE_PROFILES: (options.profiles ?? []).join(','),
    COMPOSE_FILE: options.isTls === true ? TLS_FILES : 'docker-compose.yml',
    ...options.env,
  };
  if (options.config !== undefined) {
    env['MUSTER_CONFIG'] = join(folder, 'muster.yaml');
    await writeFile(env['MUSTER_CONFIG'], JSON.stringify(options.config));
  }
  const caFile = options.isTls === true ? join(folder, 'ca.pem') : undefined;
  const project = new ComposeProject(name, env, caFile, resources.move());
  if (options.isShared !== true) onTestFailed(() => void process.stderr.write(project.report));
  return project;
}

export class ComposeProject extends Door {
  readonly name: string;
  readonly #env: Readonly<Record<string, string>>;
  /** Where the test keeps the project's authority, once it is there. */
  readonly #caFile: string | undefined;
  readonly #resources: AsyncDisposableStack;
  #report = '';

  constructor(name: string, env: Readonly<Record<string, string>>, caFile: string | undefined, resources: AsyncDisposableStack) {
    super(() => this.natsAs('muster', 'admin'));
    this.#caFile = caFile;
    this.name = name;
    this.#env = env;
    this.#resources = resources;
  }

  /** The end of the logs, taken when it was ended. */
  get report(): string {
    return this.#report;
  }

  /** `docker compose` with these arguments, as anyone would call it. */
  async compose(...args: readonly string[]): Promise<Said> {
    return run(['compose', '--project-name', this.name, ...args], this.#env);
  }

  /** The same. @throws Error where it does not end with 0 */
  async do(...args: readonly string[]): Promise<string> {
    const { code, out, all } = await this.compose(...args);
    if (code !== 0) throw new Error(`docker compose ${args.join(' ')} ended with ${code}:\n${all}`);
    return out;
  }

  /** `docker` itself. @throws Error where it does not end with 0 */
  async docker(...args: readonly string[]): Promise<Said> {
    const said = await run(args, this.#env);
    if (said.code !== 0) throw new Error(`docker ${args.join(' ')} ended with ${said.code}:\n${said.all}`);
    return said;
  }

  async containers(service?: string): Promise<readonly Container[]> {
    const out = await this.do('ps', '--all', '--format', 'json', ...(service === undefined ? [] : [service]));
    return out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { ID, Name, Service, State, Health, ExitCode } = JSON.parse(line) as Record<
          'ID' | 'Name' | 'Service' | 'State' | 'Health',
          string
        > & {
          ExitCode: number;
        };
        return { id: ID, name: Name, service: Service, state: State, health: Health, exitCode: ExitCode };
      });
  }

  /** `127.0.0.1:49153` */
  async published(service: string, port: number): Promise<string> {
    return (await this.do('port', service, String(port))).trim();
  }

  /** NATS as this machine reaches it, and a user's credentials, which a service has that may be run. */
  async natsAs(service: string, user: string): Promise<Pick<NatsOptions, 'servers' | 'credentials' | 'tls'>> {
    const servers = [`nats://${await this.published('nats', 4222)}`];
    const credentials = { kind: 'creds', contents: await this.fileOf(service, `/run/muster/${user}.creds`) } as const;
    if (this.#caFile === undefined) return { servers, credentials };
    await writeFile(this.#caFile, await this.fileOf(service, '/run/ca/ca.pem'));
    return { servers, credentials, tls: { caFile: this.#caFile } };
  }

  /** A file as a service that may be run has it. */
  async fileOf(service: string, path: string): Promise<string> {
    return this.do('run', '--rm', '--no-deps', '-T', '--entrypoint', 'cat', service, path);
  }

  /** The container in which a host agent runs, by the id that is in its state folder. */
  async containerOfHost(host: string): Promise<string> {
    for (const { id } of await this.containers('host')) {
      const { out } = await this.docker('exec', id, 'cat', '/var/lib/muster/host/host-id');
      if (out.trim() === host) return id;
    }
    throw new Error(`no container is host ${host}`);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#report = (await this.compose('logs', '--tail', String(LOG_LINES))).all;
    await using resources = this.#resources;
    // Before its folder goes, and again where the engine was not done with a container that had just ended.
    resources.defer(async () => {
      await eventually(() => this.do('--profile', '*', 'down', '--volumes', '--remove-orphans', '--timeout', '5'), SLOW);
    });
    await super[Symbol.asyncDispose]();
  }
}

/** Builds every image of the repository. */
export async function buildImages(): Promise<void> {
  const { code, all } = await run(['compose', '--profile', '*', 'build'], { COMPOSE_FILE: TLS_FILES });
  if (code !== 0) throw new Error(`docker compose build ended with ${code}:\n${all}`);
}

async function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Said> {
  const child = spawn('docker', args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let all = '';
  child.stdout.on('data', (chunk) => {
    out += String(chunk);
    all += String(chunk);
  });
  child.stderr.on('data', (chunk) => (all += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, all };
}
