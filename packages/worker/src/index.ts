export { ActivationRefused } from './activation-refused.ts';
export type { Held } from './command-judge.ts';
export { type WorkerEnvironment, workerIdentityFromEnv } from './config.ts';
export { type ConnectWorkerOptions, connectWorker } from './connect-worker.ts';
export {
  type ActivationContext,
  type DrainContext,
  WORKER_TIMINGS,
  type WorkerHandlers,
  type WorkerIdentity,
  type WorkerOptions,
  type WorkerTimings,
} from './options.ts';
export { startWorker, type Worker } from './worker.ts';
