import { parseDuration } from '@muster/domain';
import type { MessageBus } from '@muster/ports';
import { isMusterError } from '@muster/protocol';
import { type Command, InvalidArgumentError } from 'commander';
import { findServers } from '../cluster/find-servers.ts';
import type { CliContext } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';

/** Adds a group of commands to the program. */
export type RegisterCommands = (program: Command, context: CliContext) => void;

/** Options that every command of a running cluster has. */
export interface ClusterOptions {
  readonly nats?: string;
  readonly creds?: string;
  readonly json?: boolean;
}

/** Adds `--nats`, `--creds` and `--json`. */
export function withClusterOptions(command: Command): Command {
  return command
    .option('--nats <url>', 'servers of the cluster, comma-separated (or MUSTER_NATS_URL)')
    .option('--creds <file>', 'credentials for NATS (or MUSTER_NATS_CREDS_FILE)')
    .option('--json', 'print one JSON object instead of text');
}

/** Connects to the cluster that the options mean, and closes the link afterwards. */
export async function useCluster<T>(context: CliContext, options: ClusterOptions, use: (bus: MessageBus) => Promise<T>): Promise<T> {
  const target = findServers(context, options);
  const { servers, from } = target;
  const where = `${servers.join(', ')}${from === 'default' ? '' : ` (from ${from})`}`;
  let bus: MessageBus;
  try {
    bus = await context.connect(target);
  } catch (cause) {
    if (!isMusterError(cause)) throw cause;
    // With what is wrong of its TLS, or of what was named.
    if (cause.code === 'bad-request' || cause.field !== undefined) throw cause;
    if (cause.code === 'unauthorized') {
      throw new CliError('unauthorized', `NATS at ${where} wants credentials, or others`, {
        hint: 'name a file of them with --creds',
        cause,
      });
    }
    const hint = from === 'default' ? "'muster up' starts a cluster; --nats names a running one" : 'is NATS running there?';
    throw new CliError(cause.code, `no connection to NATS at ${where}`, { hint, cause });
  }
  try {
    return await use(bus);
  } catch (cause) {
    if (!isMusterError(cause, 'no-responders')) throw cause;
    const hint = "'muster up' starts a cluster; --nats names another";
    throw new CliError('no-responders', `no replica answers on NATS at ${where}`, { hint, cause });
  } finally {
    await bus.close();
  }
}

/** Prints the answer as JSON, or what `text` makes of it. */
export function show<T>(context: CliContext, options: ClusterOptions, answer: T, text: (answer: T) => string): void {
  context.out(options.json === true ? JSON.stringify(answer) : text(answer));
}

/** A duration on the command line, in ms. */
export function durationArgument(text: string): number {
  return orInvalid(() => parseDuration(text));
}

/** A whole number on the command line, within limits. */
export function wholeNumberArgument(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** A JSON object on the command line. */
export function jsonObjectArgument(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = orInvalid(() => JSON.parse(text));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidArgumentError('must be a JSON object.');
  return value as Record<string, unknown>;
}

function orInvalid<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** What a refused or misspelt argument ends with. */
export function usageError(message: string): CliError {
  return new CliError('usage', message, { exitCode: EXIT.usage });
}
