import { Command, CommanderError } from 'commander';
import { registerBench } from './bench/register-bench.ts';
import { registerAdministration } from './commands/administration.ts';
import type { RegisterCommands } from './commands/cluster-command.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerNatsAccess } from './commands/nats-access.ts';
import { registerNatsServer } from './commands/nats-server.ts';
import { registerReads } from './commands/reads.ts';
import { registerReserve } from './commands/reserve.ts';
import { registerTop } from './commands/top.ts';
import { registerUp } from './commands/up.ts';
import { registerWait } from './commands/wait.ts';
import type { CliContext } from './context.ts';
import { CliError, cliErrorOf, EXIT } from './exit.ts';

/** Every group of commands; a new one is added here. */
const GROUPS: readonly RegisterCommands[] = [
  registerUp,
  registerReads,
  registerTop,
  registerReserve,
  registerAdministration,
  registerWait,
  registerBench,
  registerDoctor,
  registerNatsAccess,
  registerNatsServer,
];

/**
 * Runs one command line (without `node` and the script). Never throws; says what went wrong in one line on stderr, and with
 * `--json` as one object on stdout too.
 * @returns the exit code
 */
export async function runMuster(args: readonly string[], context: CliContext): Promise<number> {
  const program = makeProgram(context);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.ok;
  } catch (caught) {
    const error = cliErrorOf(caught instanceof CommanderError ? usageOf(caught) : caught);
    const { code, message, hint, exitCode, field } = error;
    if (error === HELP_ASKED || error === HELP_SHOWN || exitCode === EXIT.miss) return exitCode;
    if (args.includes('--json') && !error.isAnswered) context.out(JSON.stringify({ ok: false, error: { code, message, field, hint } }));
    context.err(`muster: ${message}${hint === undefined ? '' : `; hint: ${hint}`}`);
    return exitCode;
  }
}

/** Help or the version was asked for (exit code 0), or help was printed since no command was named. */
const HELP_ASKED = new CliError('help', '', { exitCode: EXIT.ok });
const HELP_SHOWN = new CliError('help', '', { exitCode: EXIT.usage });

function usageOf(error: CommanderError): CliError {
  if (error.exitCode === 0) return HELP_ASKED;
  if (error.code === 'commander.help') return HELP_SHOWN;
  const message = error.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  return new CliError('usage', message, { hint: 'add --help to a command for its options', exitCode: EXIT.usage });
}

function makeProgram(context: CliContext): Command {
  const program = new Command('muster')
    .description('Keeps workers warm and hands one to a tenant in about a millisecond.')
    .version('0.1.0')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out(text.trimEnd()),
      writeErr: (text) => context.err(text.trimEnd()),
      // Said by runMuster, in its own form.
      outputError: () => undefined,
    });
  for (const register of GROUPS) register(program, context);
  settle(program);
  return program;
}

/** Sub-commands take settings of their parent only when they are made; groups make theirs in their own ways. */
function settle(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    settle(child);
  }
}
