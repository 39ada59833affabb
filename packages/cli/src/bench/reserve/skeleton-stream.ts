import type { MessageBus } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import type { NatsTarget } from '../../cluster/find-servers.ts';
import { CliError } from '../../exit.ts';

/** How a process of the skeleton is started. */
export interface SkeletonStart {
  readonly role: 'owner' | 'follower' | 'worker';
  /** Of its role. */
  readonly name: string;
  readonly nats: NatsTarget;
  readonly run: string;
  /** Whose messages it makes: the pool's. */
  readonly recycle: 'single-use' | 'same-org' | 'shared';
}
export type SkeletonCall = SkeletonStart & { readonly type: 'start' };

/** Subjects and stream of one run's skeleton; none of them is Muster's. */
export function skeletonSubjects(run: string) {
  return {
    stream: 'muster_bench',
    journal: `muster_bench.${run}.journal`,
    command: `muster_bench.${run}.command`,
    worker: (slot: string): string => `muster_bench.${run}.worker.${slot}`,
    anyWorker: `muster_bench.${run}.worker.*`,
    deliver: `muster_bench.${run}.deliver`,
  };
}

const TIMEOUT_MS = 5_000;
const STREAM_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Makes the scratch stream; it goes when disposed of.
 * @throws CliError `internal` with the server's words
 */
export async function makeScratchStream(bus: MessageBus, run: string): Promise<AsyncDisposable> {
  const { stream, journal } = skeletonSubjects(run);
  const config = {
    name: stream,
    subjects: [journal],
    storage: 'file',
    retention: 'limits',
    discard: 'old',
    num_replicas: 1,
    max_bytes: STREAM_BYTES_MAX,
    allow_direct: true,
  };
  await askServer(bus, `STREAM.CREATE.${stream}`, config);
  return { [Symbol.asyncDispose]: () => askServer(bus, `STREAM.DELETE.${stream}`, undefined) };
}

async function askServer(bus: MessageBus, what: string, body: object | undefined): Promise<void> {
  const data = body === undefined ? new Uint8Array(0) : encode(body);
  const reply = await bus.request(`$JS.API.${what}`, data, { timeoutMs: TIMEOUT_MS });
  const { error } = decode(reply.data) as { readonly error?: { readonly description: string } };
  if (error !== undefined) throw new CliError('internal', `the scratch stream of the bench: ${error.description}`);
}
