import { connectNats, type NatsOptions } from '@muster/nats';
import { type Logger, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { MusterClient } from './client.ts';

/** Where the cluster's NATS is, and who this process is to it. */
export interface ConnectOptions extends Pick<NatsOptions, 'servers' | 'credentials' | 'tls' | 'inboxPrefix' | 'waitOnFirstConnect'> {
  /** Shown by NATS beside the connection; default `muster-client`. */
  readonly name?: string;
  /** Default: says nothing. */
  readonly logger?: Logger;
}

/**
 * A client of the cluster behind these NATS servers; its link is kept until `close`.
 * @throws MusterError `disconnected` where no server answers, `unauthorized`, `bad-request` for an address that is none
 */
export async function connect(options: ConnectOptions): Promise<MusterClient> {
  const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: options.logger ?? silentLogger };
  const connected = await connectNats({ name: 'muster-client', ...options, ...tools });
  return new MusterClient({ ...tools, bus: connected.bus, closeLink: () => connected.close() });
}
