import { readConfigurationFile } from '../cluster/configuration-file.ts';
import { runUp } from '../up/run-up.ts';
import { findServicePrograms } from '../up/service-programs.ts';
import { type RegisterCommands, usageError, wholeNumberArgument } from './cluster-command.ts';

interface UpCommandOptions {
  readonly config: string;
  readonly replicas: number;
  readonly data?: string;
  readonly httpPort: number;
  readonly access?: string;
  readonly json?: boolean;
}

/** `up`: a whole cluster on this machine, in the foreground. */
export const registerUp: RegisterCommands = (program, context) => {
  program
    .command('up')
    .description('run a whole cluster on this machine: NATS, a host agent, replicas, their workers; Ctrl-C ends it')
    .option('--config <file>', 'configuration', 'muster.yaml')
    .option('--replicas <n>', 'control-plane processes', wholeNumberArgument(1, 32), 3)
    .option('--data <folder>', 'keep everything here, and come back with it; default: a folder that goes at the end')
    .option('--http-port <port>', 'of the first replica, the next ones above it; 0: any', wholeNumberArgument(0, 65_000), 0)
    .option('--access <folder>', 'users that muster nats-config made, for servers that the configuration names')
    .option('--json', 'print one JSON object when it is ready')
    .action(async (options: UpCommandOptions) => {
      const { config, replicas, data, httpPort, access } = options;
      const configuration = readConfigurationFile(config, context.folder);
      if (access !== undefined && configuration.servers === undefined) {
        throw usageError('--access is for servers that the configuration names: the ones of muster up have users of their own');
      }
      const programs = findServicePrograms();
      const say = (line: string) => context.err(`muster: ${line}`);
      await runUp(context, { configuration, replicas, data, httpPort, access, programs, say }, async ({ ready, folder }, signal) => {
        if (options.json === true) context.out(JSON.stringify(ready));
        else {
          const pools = ready.pools.map(({ pool, warm }) => `${pool} ${warm} warm`).join(', ');
          const http = ready.replicas.map((replica) => replica.http ?? replica.id).join(' ');
          context.out(`ready: ${configuration.cluster} on ${ready.nats}; replicas ${http}; pools ${pools}; logs ${folder}/logs`);
        }
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      });
    });
};
