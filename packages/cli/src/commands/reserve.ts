import { errorOf, MusterClient } from '@muster/client';
import { type ReserveAnswer, trySlotOf } from '@muster/protocol';
import { CliError, EXIT } from '../exit.ts';
import { formatMs, formatTable } from '../output/format.ts';
import {
  type ClusterOptions,
  durationArgument,
  jsonObjectArgument,
  type RegisterCommands,
  usageError,
  useCluster,
  wholeNumberArgument,
  withClusterOptions,
} from './cluster-command.ts';
import { runSql, type SqlAnswer } from './run-sql.ts';

interface ReserveCommandOptions extends ClusterOptions {
  readonly org: string;
  readonly wait?: number;
  readonly ttl?: number;
  readonly requestId?: string;
  readonly activation?: Readonly<Record<string, unknown>>;
  readonly sql?: string;
}

/** `reserve`, `release`. */
export const registerReserve: RegisterCommands = (program, context) => {
  withClusterOptions(program.command('reserve'))
    .argument('<pool>')
    .description('reserve a worker for an org; nobody renews it: it ends by its lease, or by release')
    .requiredOption('--org <org>', 'the tenant')
    .option('--wait <duration>', 'wait this long where none is warm, as 5s; default: a miss at once', durationArgument)
    .option('--ttl <duration>', "the lease, as 60s; default: the pool's", durationArgument)
    .option('--request-id <id>', 'asking again with it gives the same reservation')
    .option('--activation <json>', 'a JSON object that is passed to the worker', jsonObjectArgument)
    .option('--sql <statement>', 'run this on the worker, print the rows, and release it')
    .action(async (pool: string, options: ReserveCommandOptions) => {
      const { org, wait, ttl, requestId, activation, sql } = options;
      await useCluster(context, options, async (bus) => {
        await using client = new MusterClient({ ...context, bus });
        const abort = new AbortController();
        const stopListening = context.onStopSignal((signal) => abort.abort(new CliError('cancelled', `cancelled by ${signal}`)));
        try {
          const answer = await client.tryReserve(pool, {
            org,
            signal: abort.signal,
            ...(wait === undefined ? {} : { waitMs: wait }),
            ...(ttl === undefined ? {} : { ttlMs: ttl }),
            ...(requestId === undefined ? {} : { requestId }),
            ...(activation === undefined ? {} : { activation }),
          });
          if (!answer.ok && 'error' in answer) throw errorOf(answer.error);
          if (!answer.ok || sql === undefined) {
            if (options.json === true) context.out(JSON.stringify(answer));
            else context.out(answer.ok ? reservationText(answer) : missText(pool, answer.miss));
            if (!answer.ok) throw new CliError('miss', `no worker of ${pool}: ${answer.miss.reason}`, { exitCode: EXIT.miss });
            return;
          }
          try {
            const result = await runSql(answer.reservation, sql);
            context.out(options.json === true ? JSON.stringify({ ...answer, result }) : rowsText(result));
          } finally {
            await client.release(answer.reservation);
          }
        } finally {
          stopListening();
        }
      });
    });

  withClusterOptions(program.command('release'))
    .argument('<reservation>', 'its id')
    .description('give a worker back')
    .option('--epoch <n>', 'of the reservation; default: the number at the end of its id', wholeNumberArgument(1, Number.MAX_SAFE_INTEGER))
    .action(async (id: string, options: ClusterOptions & { epoch?: number }) => {
      const epoch = options.epoch ?? epochOf(id);
      if (epoch === undefined) throw usageError(`${id} is not the id of a reservation, as duckdb-k3x9_1`);
      await useCluster(context, options, async (bus) => {
        await using client = new MusterClient({ ...context, bus });
        await client.release({ id, epoch });
      });
      context.out(options.json === true ? JSON.stringify({ ok: true, id }) : `${id} is released`);
    });
};

function epochOf(id: string): number | undefined {
  const slot = trySlotOf(id);
  const epoch = slot === undefined ? Number.NaN : Number(id.slice(slot.length + 1));
  return Number.isSafeInteger(epoch) && epoch > 0 ? epoch : undefined;
}

function reservationText({ reservation, source, waitedMs }: Extract<ReserveAnswer, { ok: true }>): string {
  const { id, org, endpoint, token, ttlMs } = reservation;
  const how = source === 'waited' ? `after waiting ${formatMs(waitedMs)}` : source;
  return [
    `reservation  ${id} (${org}, ${how})`,
    `endpoint     ${endpoint}`,
    `token        ${token}`,
    `lease        ${formatMs(ttlMs)}; give it back with: muster release ${id}`,
  ].join('\n');
}

function missText(pool: string, miss: Extract<ReserveAnswer, { ok: false; miss: unknown }>['miss']): string {
  if (miss.reason === 'pool-unknown') return `there is no pool ${pool}: muster pools has their names`;
  const place = miss.position === undefined ? '' : `, place ${miss.position} in the queue`;
  const detail = miss.detail === undefined ? '' : ` (${miss.detail})`;
  return `no worker of ${pool}: ${miss.reason}${detail}${place}; try again after ${formatMs(miss.retryAfterMs)}`;
}

function rowsText({ columns, rows }: SqlAnswer): string {
  if (columns.length === 0) return `${rows.length} rows`;
  const cell = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? value : JSON.stringify(value));
  return formatTable(
    columns,
    rows.map((row) => row.map(cell)),
  );
}
