import { SystemClock, SystemRandom } from '@muster/ports';
import { connectWorker, workerIdentityFromEnv } from '@muster/worker';
import { pino } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import { readConfig } from './config.ts';
import { openDuckdbWorker } from './duckdb-worker.ts';

/** Runs this process's worker until it is told to end. @throws MusterError for an environment that is not right */
export async function runWorker(): Promise<void> {
  const config = readConfig();
  const environment = workerIdentityFromEnv();
  const { slot } = environment.identity;
  const logger = pino({ base: { service: 'duckdb-worker', pid: process.pid }, level: config.logLevel });
  const clock = new SystemClock();
  const duckdb = await openDuckdbWorker(config, { slot, clock, logger });
  const worker = await connectWorker({
    ...duckdb.handlers,
    environment,
    clock,
    random: new SystemRandom(),
    logger,
    endpoint: duckdb.endpoint,
    version: packageJson.version,
  });
  duckdb.attach(worker);
  logger.info({ endpoint: duckdb.endpoint, dataFolder: config.dataFolder }, 'worker listens');
}
