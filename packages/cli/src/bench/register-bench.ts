import type { Command } from 'commander';
import { Option } from 'commander';
import { durationArgument, type RegisterCommands, show, wholeNumberArgument, withClusterOptions } from '../commands/cluster-command.ts';
import { type BenchClusterOptions, useBenchCluster } from './bench-cluster.ts';
import { reserveConfiguration, tenantsConfiguration } from './bench-configuration.ts';
import { type ReserveReport, reserveText } from './reserve/reserve-report.ts';
import { benchReserve, floorFor, type ReserveBenchOptions } from './reserve/run-reserve.ts';
import { benchTenants } from './tenants/run-tenants.ts';
import { type TenantsReport, tenantsText } from './tenants/tenants-report.ts';
import { unsound } from './unsound.ts';

interface BenchOptions extends BenchClusterOptions {
  readonly json?: boolean;
  readonly pool?: string;
}

interface TenantsCommandOptions extends BenchOptions {
  readonly orgs: number;
  readonly qps: number;
  readonly duration: number;
  readonly cold?: boolean;
  readonly retry?: number;
  readonly inFlight: number;
  readonly timeout: number;
}

interface ReserveCommandOptions extends BenchOptions {
  readonly clients: number;
  readonly duration: number;
  readonly rate?: number;
  readonly burst?: number;
  readonly rounds: number;
  readonly warmUp: number;
  readonly recycle?: 'same-org' | 'shared';
  readonly processes: number;
  readonly skeleton: boolean;
}

/** `bench tenants`, `bench reserve`. */
export const registerBench: RegisterCommands = (program, context) => {
  const bench = program.command('bench').description('measure a running cluster, or one that is brought up for it');

  withBenchOptions(bench.command('tenants'))
    .description('many tenants at once, each with a worker of its own and queries on real data')
    .option('--orgs <n>', 'tenants', wholeNumberArgument(1, 1_000), 30)
    .option('--qps <n>', 'queries a second that each tenant offers', wholeNumberArgument(1, 10_000), 30)
    .option('--duration <duration>', 'from the moment when all are served', durationArgument, 60_000)
    .option('--cold', 'begin with nothing warm: the pool is held until every tenant waits')
    .option('--retry <duration>', 'do not wait in the queue: ask again with the same request id after this long', durationArgument)
    .option('--in-flight <n>', 'queries of a tenant at once; what is due beyond it is skipped', wholeNumberArgument(1, 100), 4)
    .option('--timeout <duration>', 'how long a tenant tries to get its worker', durationArgument, 180_000)
    .action(async (options: TenantsCommandOptions) => {
      const { orgs, qps, duration, cold, retry, pool, inFlight, timeout } = options;
      const progress = context.isTerminal && options.json !== true ? (line: string) => context.err(line) : undefined;
      const run = {
        orgs,
        qps,
        durationMs: duration,
        isCold: cold ?? false,
        retryMs: retry,
        pool,
        inFlightMax: inFlight,
        reserveTimeoutMs: timeout,
        progress,
      };
      const report: TenantsReport = await useBenchCluster(context, options, tenantsConfiguration, (target, signal) =>
        benchTenants(context, target, run, signal),
      );
      show(context, options, report, tenantsText);
      if (!report.ok) throw unsound(report);
    });

  withBenchOptions(bench.command('reserve'))
    .description('reservations with activation and release on workers that do nothing, beside the bare messages and appends')
    .option('--clients <n>', 'clients at once, each asking again when it has released', wholeNumberArgument(1, 2_000), 64)
    .option('--rate <n>', 'instead: so many reservations a second are offered, whatever comes back', wholeNumberArgument(1, 100_000))
    .option('--burst <n>', 'instead: so many at once, on a warm pool', wholeNumberArgument(1, 5_000))
    .option('--duration <duration>', 'of measuring, for each side', durationArgument, 15_000)
    .option('--rounds <n>', 'the duration in so many parts, by turns with the skeleton', wholeNumberArgument(1, 100), 3)
    .option('--warm-up <duration>', 'unmeasured load on each side before the first round', durationArgument, 5_000)
    .addOption(
      new Option('--recycle <policy>', "with --up: the pool's (default same-org); else it must be so").choices(['same-org', 'shared']),
    )
    .option('--processes <n>', 'that make the load', wholeNumberArgument(1, 16), 2)
    .option('--no-skeleton', 'without the bare skeleton beside it')
    .action(async (options: ReserveCommandOptions) => {
      const { clients, duration, rate, burst, rounds, warmUp, recycle, pool, processes, skeleton } = options;
      const run: ReserveBenchOptions = {
        clients,
        durationMs: duration,
        rate,
        burst,
        rounds,
        warmUpMs: warmUp,
        recycle,
        pool,
        processes,
        hasSkeleton: skeleton,
      };
      const configuration = () => reserveConfiguration({ recycle: recycle ?? 'same-org', floor: floorFor(run) });
      const report: ReserveReport = await useBenchCluster(context, options, configuration, (target, signal) =>
        benchReserve(context, target, run, signal),
      );
      show(context, options, report, reserveText);
      if (!report.ok) throw unsound(report);
    });
};

function withBenchOptions(command: Command): Command {
  return withClusterOptions(command)
    .option('--up', 'bring up a cluster for it, and end it afterwards')
    .option('--replicas <n>', 'with --up: control-plane processes (default 3)', wholeNumberArgument(1, 32))
    .option('--config <file>', 'with --up: its configuration (default: one made for the bench)')
    .option('--pool <pool>', 'the pool; default: the only one of the kind');
}
