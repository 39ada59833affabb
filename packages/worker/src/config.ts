import { MusterError, type NatsAccess, natsAccessOf } from '@muster/protocol';
import type { WorkerIdentity } from './options.ts';

/** What the environment of a worker says (DESIGN 8). */
export interface WorkerEnvironment {
  readonly identity: WorkerIdentity;
  /** Addresses of NATS. */
  readonly servers: readonly string[];
  readonly nats: NatsAccess;
}

/**
 * Reads `MUSTER_NATS_URL` (several separated by commas), `MUSTER_CLUSTER`, `MUSTER_SLOT`, `MUSTER_SHARD`, `MUSTER_TOKEN`, and
 * what is needed to connect (`natsAccessOf`).
 * @throws MusterError `bad-request` that names the one that is missing
 */
export function workerIdentityFromEnv(env: Readonly<Record<string, string | undefined>> = process.env): WorkerEnvironment {
  const read = (name: string): string => {
    const value = env[name];
    if (value === undefined || value === '') {
      throw new MusterError('bad-request', `${name} is not set: a worker is started by a host agent, or in a pod`, { field: name });
    }
    return value;
  };
  return {
    servers: read('MUSTER_NATS_URL').split(','),
    nats: natsAccessOf(env),
    identity: { cluster: read('MUSTER_CLUSTER'), slot: read('MUSTER_SLOT'), shard: read('MUSTER_SHARD'), token: read('MUSTER_TOKEN') },
  };
}
