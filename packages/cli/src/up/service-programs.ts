import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CliError } from '../exit.ts';

/** What Node is given to run each of the cluster's own programs. */
export interface ServicePrograms {
  readonly replica: string;
  readonly host: string;
}

/**
 * The services of this checkout.
 * @throws CliError `not-found` where the command was installed without them
 */
export function findServicePrograms(): ServicePrograms {
  const root = join(import.meta.dirname, '..', '..', '..', '..');
  const replica = join(root, 'services', 'control-plane', 'src', 'main.ts');
  const host = join(root, 'services', 'host', 'src', 'main.ts');
  for (const program of [replica, host]) {
    if (!existsSync(program)) {
      throw new CliError('not-found', `muster up needs ${program}`, { hint: 'run it in a checkout of the Muster repository' });
    }
  }
  return { replica, host };
}
