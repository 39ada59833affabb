// A Compose project of its own for one test: the repository's docker-compose.yml, under another name and on free ports.
//
//   P1. Containers, networks and volumes go with its scope, also when the test fails.
//   P2. When the test fails, the end of its logs is printed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type MusterClient } from '@muster/client';
import { connectNats } from '@muster/nats';
import { type MessageBus, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import {
  type AdminAnswers,
  type AdminRequestInput,
  decode,
  encode,
  type ErrorAnswer,
  type RefResult,
  type ReservationRef,
  type ReserveAnswer,
  type ReserveRequest,
  type SlotSummary,
  subjects,
} from '@muster/protocol';
import { eventually, freePort, tempDir } from '@muster/testkit';
import { onTestFailed } from 'vitest';
import { ROOT } from './engine.ts';

/** For what containers take on a machine that does other things too. */
export const SLOW = { timeoutMs: 120_000, everyMs: 100 } as const;
const LOG_LINES = 40;
const TRY_MS = 4_000;

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
    ...options.env,
  };
  if (options.config !== undefined) {
    env['MUSTER_CONFIG'] = join(folder, 'muster.yaml');
    await writeFile(env['MUSTER_CONFIG'], JSON.stringify(options.config));
  }
  const project = new ComposeProject(name, env, resources.move());
  if (options.isShared !== true) onTestFailed(() => void process.stderr.write(project.report));
  return project;
}

export class ComposeProject implements AsyncDisposable {
  readonly name: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #resources: AsyncDisposableStack;
  #bus: MessageBus | undefined;
  #report = '';

  constructor(name: string, env: Readonly<Record<string, string>>, resources: AsyncDisposableStack) {
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

  /** Asks any replica over NATS, again where none answers. */
  async admin<R extends AdminRequestInput>(request: R): Promise<AdminAnswers[R['type']]> {
    return this.#ask<AdminAnswers[R['type']]>(subjects.admin(), request, TRY_MS);
  }

  async slots(): Promise<readonly SlotSummary[]> {
    return (await this.admin({ type: 'slots' })).slots;
  }

  /** The container in which a host agent runs, by the id that is in its state folder. */
  async containerOfHost(host: string): Promise<string> {
    for (const { id } of await this.containers('host')) {
      const { out } = await this.docker('exec', id, 'cat', '/var/lib/muster/host/host-id');
      if (out.trim() === host) return id;
    }
    throw new Error(`no container is host ${host}`);
  }

  /** The same request again, with its id, until somebody answers. */
  async reserve(pool: string, request: ReserveRequest & { readonly requestId: string }): Promise<ReserveAnswer> {
    return this.#ask<ReserveAnswer>(subjects.reserve(pool), request, (request.waitMs ?? 0) + TRY_MS);
  }

  /** Renews or releases one reservation, until somebody answers. */
  async settle(what: 'renew' | 'release', { id, epoch }: ReservationRef): Promise<RefResult> {
    const { results } = await this.#ask<{ readonly ok: true; readonly results: readonly RefResult[] }>(
      subjects[what](),
      [{ id, epoch }],
      TRY_MS,
    );
    const [result] = results;
    if (result === undefined) throw new Error(`${what}: no result`);
    return result;
  }

  async client(): Promise<MusterClient> {
    return connect({ servers: await this.#servers(), name: 'test-client' });
  }

  /** A connection of the test's own. */
  async bus(): Promise<MessageBus> {
    if (this.#bus === undefined) {
      const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
      const connected = await connectNats({ servers: await this.#servers(), name: 'test', ...tools });
      this.#resources.defer(() => connected.close());
      this.#bus = connected.bus;
    }
    return this.#bus;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#report = (await this.compose('logs', '--tail', String(LOG_LINES))).all;
    await this.#resources.disposeAsync();
    await this.do('--profile', '*', 'down', '--volumes', '--remove-orphans', '--timeout', '5');
  }

  async #ask<T>(subject: string, body: unknown, timeoutMs: number): Promise<T> {
    return eventually(async () => {
      const message = await (await this.bus()).request(subject, encode(body), { timeoutMs });
      const answer = decode(message.data) as T | ErrorAnswer;
      if (isError(answer)) throw new Error(`${subject}: ${JSON.stringify(answer.error)}`);
      return answer as Exclude<T, false>;
    }, SLOW);
  }

  async #servers(): Promise<string[]> {
    return [`nats://${await this.published('nats', 4222)}`];
  }
}

/** Builds every image of the repository. */
export async function buildImages(): Promise<void> {
  const { code, all } = await run(['compose', '--profile', '*', 'build'], {});
  if (code !== 0) throw new Error(`docker compose build ended with ${code}:\n${all}`);
}

function isError(answer: unknown): answer is ErrorAnswer {
  return typeof answer === 'object' && answer !== null && 'error' in answer;
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
