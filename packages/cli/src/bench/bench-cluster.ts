// The cluster that a bench measures: one that runs, or one of its own from start to end.
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConfigurationFile, readConfigurationFile } from '../cluster/configuration-file.ts';
import { findServers, type NatsTarget } from '../cluster/find-servers.ts';
import type { CliContext } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { runUp } from '../up/run-up.ts';
import { findServicePrograms } from '../up/service-programs.ts';

export interface BenchClusterOptions {
  readonly nats?: string;
  readonly creds?: string;
  /** Bring up one of its own. */
  readonly up?: boolean;
  readonly replicas?: number;
  readonly config?: string;
}

const REPLICAS = 3;

/**
 * Runs `use` with the NATS of the cluster that the options mean. The signal is aborted when the user wants to stop.
 * @param configuration makes the text to bring one up with, given a folder for data that goes at the end
 */
export async function useBenchCluster<T>(
  context: CliContext,
  options: BenchClusterOptions,
  configuration: (folder: string) => string,
  use: (target: NatsTarget, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (options.up !== true) {
    if (options.config !== undefined || options.replicas !== undefined) {
      throw new CliError('usage', '--config and --replicas are for a cluster of its own', { hint: 'add --up', exitCode: EXIT.usage });
    }
    return await useRunning(context, findServers(context, options), use);
  }
  if (options.nats !== undefined) throw new CliError('usage', '--up brings up its own NATS: leave --nats out', { exitCode: EXIT.usage });
  const folder = mkdtempSync(join(realpathSync(context.environment.tempFolder), 'muster-bench-'));
  try {
    const say = (line: string): void => context.err(`muster: ${line}`);
    const up = {
      configuration: configurationOf(context, options.config, folder, configuration),
      replicas: options.replicas ?? REPLICAS,
      httpPort: 0,
      data: undefined,
      programs: findServicePrograms(),
      say,
    };
    return await runUp(context, up, async ({ ready, target }, signal) => {
      const replicas = ready.replicas.map(({ id, pid }) => `${id} ${pid}`).join(', ');
      const hosts = ready.hosts.map(({ id, pid }) => `${id} ${pid}`).join(', ');
      say(`${ready.nats} is up: replicas ${replicas}; hosts ${hosts}`);
      return await use(target, signal);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function useRunning<T>(
  context: CliContext,
  target: NatsTarget,
  use: (target: NatsTarget, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const stopListening = context.onStopSignal((signal) => {
    if (stop.signal.aborted) return;
    context.err(`muster: ${signal}: releasing what is reserved`);
    stop.abort(new CliError('cancelled', `stopped by ${signal}`));
  });
  try {
    return await use(target, stop.signal);
  } finally {
    stopListening();
  }
}

function configurationOf(
  context: CliContext,
  given: string | undefined,
  folder: string,
  text: (folder: string) => string,
): ConfigurationFile {
  if (given !== undefined) return readConfigurationFile(given, context.folder);
  const path = join(folder, 'muster.yaml');
  writeFileSync(path, text(join(folder, 'data')), { mode: 0o600 });
  return readConfigurationFile(path, folder);
}
