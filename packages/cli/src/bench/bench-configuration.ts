// The configurations that a bench brings up its own cluster with, where none is given: fixed, so that runs can be compared.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CliError } from '../exit.ts';

/** One duckdb pool: floor 5, no cap but what 18 GiB on the host allow, as in LESSONS.md's main scenario. */
export function tenantsConfiguration(dataFolder: string): string {
  const worker = join(import.meta.dirname, '..', '..', '..', '..', 'services', 'duckdb-worker', 'src', 'main.ts');
  if (!existsSync(worker)) {
    throw new CliError('not-found', `the bench needs ${worker}`, {
      hint: 'run it in a checkout of the Muster repository, or name a configuration with --config',
    });
  }
  return yaml({
    cluster: { name: 'bench' },
    host: { memoryBudget: '18GiB' },
    pools: {
      duckdb: {
        driver: 'process',
        worker: { command: ['node', worker], memory: '256MiB', env: { MUSTER_DUCKDB_DATA: dataFolder, LOG_LEVEL: 'warn' } },
        floor: 5,
        max: 0,
        recycle: 'same-org',
        parkedTtl: '60s',
        leaseTtl: '60s',
        waitMax: '5m',
      },
    },
  });
}

export interface ReserveConfigurationInput {
  readonly recycle: 'same-org' | 'shared';
  /** Workers kept warm. */
  readonly floor: number;
}

/** One pool of simulated workers that do nothing. */
export function reserveConfiguration({ recycle, floor }: ReserveConfigurationInput): string {
  return yaml({
    cluster: { name: 'bench' },
    pools: {
      noop: {
        driver: 'simulated',
        worker: { memory: '1MiB' },
        floor,
        max: 0,
        recycle,
        parkedTtl: '10m',
        leaseTtl: '60s',
        waitMax: '30s',
        scaleDown: { after: '10m' },
      },
    },
  });
}

/** JSON is YAML. */
function yaml(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
