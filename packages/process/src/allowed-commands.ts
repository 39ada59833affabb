import type { Clock, Logger } from '@muster/ports';

/** What one pool of an agent's own configuration starts. */
export interface PoolCommand {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What `AllowedCommands` needs. */
export interface AllowedCommandsOptions {
  /** Reads the configuration anew. */
  read(): Promise<ReadonlyMap<string, PoolCommand>>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A configuration that was read less than this ago is not read again because somebody asks for what is not in it. */
const READ_EVERY_MS = 1_000;

/**
 * The commands that a host may start: those that the pools of its own configuration name, and no other, so that who can
 * speak on NATS cannot start what he likes. Reads the configuration anew when it is asked for what is not in it, since
 * pools change at run time.
 */
export class AllowedCommands {
  readonly #options: AllowedCommandsOptions;
  #pools: ReadonlyMap<string, PoolCommand> = new Map();
  #readMs: number | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: AllowedCommandsOptions) {
    this.#options = options;
  }

  /** Why this may not be started; undefined where it may. */
  async refusalOf(
    pool: string,
    command: readonly string[] | undefined,
    env: Readonly<Record<string, string>>,
  ): Promise<string | undefined> {
    const refusal = this.#refusalNow(pool, command, env);
    if (refusal === undefined) return undefined;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#reading === undefined && this.#readMs !== undefined && nowMs - this.#readMs < READ_EVERY_MS) return refusal;
    this.#reading ??= this.#read();
    await this.#reading;
    return this.#refusalNow(pool, command, env);
  }

  async #read(): Promise<void> {
    try {
      this.#pools = await this.#options.read();
    } catch (error) {
      this.#options.logger.error({ error: String(error) }, 'the configuration cannot be read: the pools stay as they were');
    }
    this.#readMs = this.#options.clock.monotonicMs();
    this.#reading = undefined;
  }

  #refusalNow(pool: string, command: readonly string[] | undefined, env: Readonly<Record<string, string>>): string | undefined {
    const own = this.#pools.get(pool);
    if (own === undefined) return `the configuration of this host has no pool ${pool} with a command`;
    if (command === undefined || command.length !== own.command.length || command.some((part, at) => part !== own.command[at])) {
      return `the configuration of this host has another command for pool ${pool}`;
    }
    const foreign = Object.keys(env).find((name) => isLoaderVariable(name) && own.env[name] !== env[name]);
    return foreign === undefined ? undefined : `the configuration of this host does not set ${foreign} for pool ${pool}`;
  }
}

const LOADER_VARIABLES = new Set([
  'PATH',
  'NODE_OPTIONS',
  'NODE_PATH',
  'BASH_ENV',
  'ENV',
  'SHELLOPTS',
  'IFS',
  'PYTHONPATH',
  'PYTHONSTARTUP',
  'PERL5LIB',
  'PERL5OPT',
  'RUBYOPT',
  'RUBYLIB',
  'JAVA_TOOL_OPTIONS',
]);

/** A variable by which another program would be run than the command names. */
function isLoaderVariable(name: string): boolean {
  return LOADER_VARIABLES.has(name) || /^(LD|DYLD|MUSTER)_/.test(name);
}
