import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Where tests look for a nats-server. */
export interface TestEnvironment {
  /** `MUSTER_TEST_NATS_SERVERS`: programs, separated as the PATH is; the NATS suites run on each. */
  readonly natsServers: readonly string[];
  /** `MUSTER_NATS_SERVER`: one program. */
  readonly natsServer: string | undefined;
  readonly path: readonly string[];
  /** Where `muster` puts the ones that it fetches, a folder for each version. */
  readonly natsServerCache: string;
}

/** What the tests' process was told by its environment. */
export function readTestEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): TestEnvironment {
  const list = (value: string | undefined): readonly string[] => (value ?? '').split(delimiter).filter((one) => one !== '');
  return {
    natsServers: list(env['MUSTER_TEST_NATS_SERVERS']),
    natsServer: list(env['MUSTER_NATS_SERVER'])[0],
    path: list(env['PATH']),
    natsServerCache: join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'muster', 'nats-server'),
  };
}
