import { findNatsServer } from '../nats-server/find-nats-server.ts';
import type { RegisterCommands } from './cluster-command.ts';

/** `nats-server path`: for scripts and tests that need the program that `muster up` would run. Not in the help. */
export const registerNatsServer: RegisterCommands = (program, context) => {
  program
    .command('nats-server', { hidden: true })
    .description('the nats-server that muster up runs')
    .command('path')
    .description('print where it is, fetching it first where there is none')
    .option('--json', 'print one JSON object: path, version, from')
    .action(async (options: { readonly json?: boolean }) => {
      const found = await findNatsServer({ environment: context.environment, say: (line) => context.err(line) });
      context.out(options.json === true ? JSON.stringify(found) : found.path);
    });
};
