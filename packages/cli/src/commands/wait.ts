import { isMusterError, type PoolSummary } from '@muster/protocol';
import { askAdmin } from '../cluster/ask-admin.ts';
import { tryDescribeCold } from '../cluster/cold-pools.ts';
import { CliError } from '../exit.ts';
import { formatMs } from '../output/format.ts';
import { until } from '../up/until.ts';
import { type ClusterOptions, durationArgument, type RegisterCommands, show, useCluster, withClusterOptions } from './cluster-command.ts';

interface WaitOptions extends ClusterOptions {
  readonly timeout: number;
  readonly at?: string;
}

interface Ready {
  readonly ok: true;
  readonly cluster: string;
  readonly replicas: number;
  readonly hosts: number;
  readonly pools: readonly PoolSummary[];
}

const EVERY_MS = 200;

/** `wait`: until a cluster serves and is warm, for whoever starts one. */
export const registerWait: RegisterCommands = (program, context) => {
  withClusterOptions(program.command('wait'))
    .description('until a replica serves and every pool has its floor; prints one line, or says what is missing')
    .option('--timeout <duration>', 'how long', durationArgument, 120_000)
    .option('--at <place>', 'where to go, to be said in the line')
    .action(async (options: WaitOptions) => {
      const { timeout, at } = options;
      let missing = 'no replica answers';
      const ready = await useCluster(context, options, (bus) =>
        until(
          async (): Promise<Ready | undefined> => {
            try {
              const { cluster, replicas, pools } = await askAdmin(bus, { type: 'status' });
              const { hosts } = await askAdmin(bus, { type: 'hosts' });
              const cold = tryDescribeCold(pools);
              const alive = {
                replicas: replicas.filter(({ isAlive }) => isAlive).length,
                hosts: hosts.filter(({ isSilent }) => !isSilent).length,
              };
              if (cold === undefined) return { ok: true, cluster, ...alive, pools };
              missing = cold;
            } catch (error) {
              if (!isMusterError(error) || !error.retryable) throw error;
              missing = error.message;
            }
            return undefined;
          },
          { clock: context.clock, everyMs: EVERY_MS, timeoutMs: timeout },
        ),
      );
      if (ready === undefined) {
        throw new CliError('timeout', `not ready after ${formatMs(timeout)}: ${missing}`, {
          hint: 'the logs of the replicas and hosts say more',
        });
      }
      show(context, options, ready, (answer) => `${readyText(answer)}${at === undefined ? '' : `; ${at}`}`);
    });
};

function readyText({ cluster, replicas, hosts, pools }: Ready): string {
  const warm = pools.map((pool) => `${pool.pool} ${pool.warm} warm`).join(', ');
  return `ready: ${cluster} with ${replicas} replicas, ${hosts} hosts; pools ${warm}`;
}
