import type { MessageBus } from '@muster/ports';
import type { PoolSummary } from '@muster/protocol';
import { askAdmin } from '../cluster/ask-admin.ts';
import { CliError, EXIT } from '../exit.ts';

/**
 * The pool that was named, or the only one of this driver.
 * @throws CliError `not-found`, `usage`; MusterError where nobody answers
 */
export async function choosePool(bus: MessageBus, named: string | undefined, driver: 'process' | 'simulated'): Promise<PoolSummary> {
  const { pools } = await askAdmin(bus, { type: 'pools' });
  const names = pools.map(({ pool }) => pool).join(', ');
  if (named !== undefined) {
    const pool = pools.find((one) => one.pool === named);
    if (pool !== undefined) return pool;
    throw new CliError('not-found', `there is no pool ${named}`, { hint: `there are: ${names}`, exitCode: EXIT.usage });
  }
  const [first, ...others] = pools.filter((pool) => pool.driver === driver);
  if (first === undefined) {
    throw new CliError('not-found', `the cluster has no pool of driver ${driver}`, {
      hint: 'add --up to bring one up for the bench',
      exitCode: EXIT.usage,
    });
  }
  if (others.length === 0) return first;
  throw new CliError('usage', `the cluster has several pools of driver ${driver}`, {
    hint: `name one with --pool: ${[first, ...others].map(({ pool }) => pool).join(', ')}`,
    exitCode: EXIT.usage,
  });
}
