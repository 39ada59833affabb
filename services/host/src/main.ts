// The host agent's process. SIGTERM and SIGINT end it; the workers that it started run on, unless it is told to drain them.
import { pino } from 'pino';
import { readHostConfig } from './config.ts';
import { type RunningHost, runHost } from './run-host.ts';

const logger = pino({ base: { service: 'host', pid: process.pid } });
let running: RunningHost | undefined;
let isEnding = false;

function end(code: number, why: string): void {
  if (isEnding) return;
  isEnding = true;
  logger.info({ why }, 'host agent ends');
  void (running?.stop() ?? Promise.resolve())
    .catch((error: unknown) => logger.error({ error: String(error) }, 'the host agent did not end in order'))
    .finally(() => process.exit(code));
}

process.on('SIGTERM', () => end(0, 'SIGTERM'));
process.on('SIGINT', () => end(0, 'SIGINT'));
try {
  const config = await readHostConfig();
  logger.level = config.logLevel;
  running = await runHost(config, logger);
  void running.lost.then(() => end(1, 'the lock of the state folder was lost'));
} catch (error) {
  logger.fatal({ error: error instanceof Error ? error.message : String(error) }, 'the host agent cannot run');
  process.exit(1);
}
