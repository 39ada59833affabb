import { rename, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { connectNats } from '@muster/nats';
import { type Clock, type Logger, type MessageBus, type Random, SystemClock, SystemRandom } from '@muster/ports';
import {
  AllowedCommands,
  HostAgent,
  hostMemoryBudget,
  type Launcher,
  type MemoryBudget,
  openStateFolder,
  ProcessLauncher,
  SimulatedLauncher,
} from '@muster/process';
import { startWorker } from '@muster/worker';
import type { HostConfig } from './config.ts';

/** A host agent that runs. */
export interface RunningHost {
  readonly host: string;
  /** Resolves when another agent may have taken the state folder: this one must end. */
  readonly lost: Promise<void>;
  /** Ends the agent; processes run on or are drained, as the configuration says, simulated workers end. */
  stop(): Promise<void>;
}

/** Simulated workers have no memory of their own; a bound there must be. */
const SIMULATED_BUDGET: MemoryBudget = { bytes: 16 * 1024 ** 4, why: 'simulated workers need none' };

/**
 * Runs a host agent: one for each state folder, found again under the same id after a restart.
 * @throws MusterError `conflict` when another agent has the folder
 */
export async function runHost(config: HostConfig, logger: Logger): Promise<RunningHost> {
  const clock = new SystemClock();
  const random = new SystemRandom();
  await using resources = new AsyncDisposableStack();
  const programPath = config.baseEnv['PATH'] ?? '';
  const { hostId, stateFolder } = config;
  const state = await openStateFolder({ path: stateFolder, clock, random, programPath, ...(hostId === undefined ? {} : { hostId }) });
  resources.defer(() => state.release());
  const hostLogger = logger.child({ host: state.hostId });
  const name = `muster host ${state.hostId}`;
  const connected = await connectNats({
    servers: config.servers,
    name,
    clock,
    random,
    logger: hostLogger,
    waitOnFirstConnect: true,
    ...config.nats,
  });
  resources.defer(() => connected.close());
  const { bus } = connected;
  const launcher = makeLauncher(config, { bus, clock, random, logger: hostLogger, host: state.hostId });
  const agent = new HostAgent({
    bus,
    clock,
    random,
    logger: hostLogger,
    host: state.hostId,
    cluster: config.cluster,
    memoryBudget: await budgetOf(config),
    launcher,
    load: () => loadavg()[0] ?? 0,
    ...(config.kind === 'process'
      ? { commands: new AllowedCommands({ read: () => config.readCommands(), clock, logger: hostLogger }) }
      : {}),
  });
  await agent.start();
  resources.defer(() => agent.stop());
  if (config.onStop === 'drain') resources.defer(() => agent.leave());
  if (config.readyFile !== undefined) await writeReadyFile(config.readyFile, state.hostId);
  const held = resources.move();
  return { host: state.hostId, lost: state.lost, stop: () => held.disposeAsync() };
}

interface LauncherParts {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly host: string;
}

function makeLauncher(config: HostConfig, { bus, clock, random, logger, host }: LauncherParts): Launcher {
  const { cluster, stateFolder, workFolder, baseEnv } = config;
  if (config.kind === 'process') {
    return new ProcessLauncher({ host, cluster, natsUrl: config.servers.join(','), stateFolder, workFolder, baseEnv, clock, logger });
  }
  return new SimulatedLauncher({
    host,
    clock,
    startSimulatedWorker: ({ slot, shard, token }) => {
      const worker = startWorker({
        bus,
        clock,
        random,
        logger,
        identity: { cluster, slot, shard, token },
        endpoint: `simulated://${host}/${slot}`,
        version: 'simulated',
        onActivate: () => undefined,
        onReset: () => undefined,
      });
      return { ended: worker.ended, stop: (graceMs) => worker.drain('told to stop', graceMs) };
    },
  });
}

async function budgetOf(config: HostConfig): Promise<MemoryBudget> {
  if (config.kind === 'simulated' && config.memoryBudgetBytes === undefined) return SIMULATED_BUDGET;
  return hostMemoryBudget(config.memoryBudgetBytes);
}

/** As a whole or not at all: who waits for it reads it as soon as it is there. */
async function writeReadyFile(path: string, id: string): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify({ id, pid: process.pid })}\n`);
  await rename(`${path}.new`, path);
}
