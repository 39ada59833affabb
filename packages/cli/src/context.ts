import type { NatsConnected } from '@muster/nats';
import type { Clock, Logger, MessageBus, Random } from '@muster/ports';
import type { NatsTarget } from './cluster/find-servers.ts';
import type { Environment } from './config.ts';

/** What a command touches of the world; a test gives its own. */
export interface CliContext {
  readonly environment: Environment;
  /** The folder that relative paths and `muster.yaml` are looked for in. */
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** To stdout: results. */
  out(text: string): void;
  /** To stderr: progress, warnings, errors. */
  err(text: string): void;
  readonly isTerminal: boolean;
  /** @throws MusterError `disconnected` where no server answers, `unauthorized` */
  connect(target: NatsTarget): Promise<MessageBus>;
  /** The same, for what is more than messages. */
  dial(target: NatsTarget): Promise<NatsConnected>;
  /** Calls back for SIGINT and SIGTERM, instead of what they do otherwise; gives what ends that. */
  onStopSignal(listener: (signal: string) => void): () => void;
}
