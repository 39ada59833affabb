// The slot's side and the tenant's side of this worker, put together.
import type { Clock, Logger } from '@muster/ports';
import { ActivationRefused, type Worker, type WorkerHandlers } from '@muster/worker';
import type { DuckdbWorkerConfig } from './config.ts';
import { DATABASE_NAME, DatabaseRefused } from './database-file.ts';
import { QueryServer } from './query-server.ts';
import { Tenancy } from './tenancy.ts';

/** What interrupting and closing may take of the time that a drain has. */
const CLOSING_MS = 1_000;

export interface DuckdbWorker {
  readonly endpoint: string;
  readonly handlers: Required<WorkerHandlers>;
  /** Whoever holds the worker's reservation may query; before this call nobody may. */
  attach(worker: Pick<Worker, 'isHolder'>): void;
  close(): Promise<void>;
}

/** Listens, neutral: no database is open. Rejects where it cannot listen. */
export async function openDuckdbWorker(
  config: DuckdbWorkerConfig,
  { slot, clock, logger }: { readonly slot: string; readonly clock: Clock; readonly logger: Logger },
): Promise<DuckdbWorker> {
  let holder: Pick<Worker, 'isHolder'> | undefined;
  const tenancy = new Tenancy({ dataFolder: config.dataFolder, limits: config.limits, clock });
  const server = await QueryServer.start({ ...config, tenancy, clock, logger, isHolder: (token) => holder?.isHolder(token) ?? false });
  const close = async (): Promise<void> => {
    await tenancy.close();
    await server.close();
  };
  return {
    endpoint: server.endpoint,
    attach(worker) {
      holder = worker;
    },
    close,
    handlers: {
      async onActivate({ org, activation }) {
        const database = readDatabaseName(activation, slot);
        try {
          await tenancy.open(org, database);
        } catch (error) {
          if (error instanceof DatabaseRefused) throw new ActivationRefused('request', error.message);
          throw error;
        }
        logger.info({ org, database }, 'database opened');
      },
      onRelease: () => tenancy.close(),
      onReset: () => tenancy.close(),
      async onDrain({ graceMs }) {
        await tenancy.drain(Math.max(0, graceMs - CLOSING_MS));
        await server.close();
      },
    },
  };
}

/** @throws ActivationRefused for a name that is none, or a field that is not known */
function readDatabaseName(activation: Readonly<Record<string, unknown>>, otherwise: string): string {
  const { database = otherwise, ...rest } = activation;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new ActivationRefused('request', `activation.${unknown}: is not a known field`);
  if (typeof database === 'string' && DATABASE_NAME.test(database)) return database;
  throw new ActivationRefused('request', 'activation.database: must be a name of letters, digits, - and _, at most 128');
}
