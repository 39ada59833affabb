import { connectNats, type NatsConnected } from '@muster/nats';
import { type Clock, type Random, SystemClock, SystemRandom } from '@muster/ports';
import type { WorkerEnvironment } from './config.ts';
import { WORKER_TIMINGS, type WorkerOptions } from './options.ts';
import { startWorker, type Worker } from './worker.ts';

/** What `connectWorker` needs: the handlers of `WorkerOptions`, and where to connect. */
export interface ConnectWorkerOptions extends Omit<WorkerOptions, 'bus' | 'clock' | 'random' | 'identity'> {
  /** From `workerIdentityFromEnv`. */
  readonly environment: WorkerEnvironment;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Called when the worker has ended and the connection is closed. Default: ends the process with the code. */
  readonly exit?: (code: number, reason: string) => void;
}

/**
 * Connects to NATS, dialling until a server answers, and starts to speak for this process's slot. SIGTERM and SIGINT drain.
 *
 * Never resolves where no server answers within `orphanAfterMs`: the process then ends, as a worker that nobody knows does.
 */
export async function connectWorker(options: ConnectWorkerOptions): Promise<Worker> {
  const { environment, logger, clock = new SystemClock(), random = new SystemRandom() } = options;
  const exit = options.exit ?? ((code: number) => process.exit(code));
  const { orphanAfterMs } = { ...WORKER_TIMINGS, ...options.timings };
  const orphaned = clock.setTimer(orphanAfterMs, () => {
    logger.error({ orphanAfterMs }, 'NATS cannot be reached: the worker ends');
    exit(1, 'NATS cannot be reached');
  });
  const connected = await connectNats({
    servers: environment.servers,
    name: `muster worker ${environment.identity.slot}`,
    clock,
    random,
    logger,
    waitOnFirstConnect: true,
    ...environment.nats,
  });
  orphaned.cancel();
  const worker = startWorker({ ...options, identity: environment.identity, bus: connected.bus, clock, random });
  const drain = (signal: NodeJS.Signals): void => void worker.drain(signal);
  process.on('SIGTERM', drain);
  process.on('SIGINT', drain);
  void worker.ended.then(async (reason) => {
    process.off('SIGTERM', drain);
    process.off('SIGINT', drain);
    await closeQuietly(connected);
    exit(0, reason);
  });
  return worker;
}

/** The link may be down for good; the worker ends nevertheless. */
async function closeQuietly(connected: NatsConnected): Promise<void> {
  await connected.close().catch(() => undefined);
}
