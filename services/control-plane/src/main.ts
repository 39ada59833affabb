import { rename, writeFile } from 'node:fs/promises';
import { SystemClock } from '@muster/ports';
import { isMusterError } from '@muster/protocol';
import { type Replica, startReplica } from './compose.ts';
import { readConfig } from './config.ts';
import { makeLogger } from './log.ts';

/** Longer than any hand-over; then the process ends, and its shards are taken over. */
const STOP_GRACE_MS = 8_000;
const READY_POLL_MS = 50;

const clock = new SystemClock();

async function main(): Promise<void> {
  const config = readConfig();
  const logger = makeLogger(config.logLevel);
  const replica = await startReplica(config, logger);
  let isStopping = false;
  const stop = (signal: string): void => {
    if (isStopping) return;
    isStopping = true;
    logger.info({ signal }, 'stopping: the shards are handed over');
    clock.setTimer(STOP_GRACE_MS * 2, () => process.exit(1));
    replica.stop(STOP_GRACE_MS).then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ error: String(error) }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  if (config.readyFile !== undefined) await sayReady(replica, config.readyFile);
}

/** Other processes read the file: it appears at once, whole. */
async function sayReady(replica: Replica, file: string): Promise<void> {
  while (!replica.isReady) await new Promise<void>((resolve) => void clock.setTimer(READY_POLL_MS, resolve));
  await writeFile(`${file}.new`, JSON.stringify({ id: replica.id, pid: process.pid, http: replica.http }));
  await rename(`${file}.new`, file);
}

main().catch((error: unknown) => {
  const message = isMusterError(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`muster replica: ${message}\n`);
  process.exit(1);
});
