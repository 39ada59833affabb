import { connectNats } from '@muster/nats';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import type { NatsTarget } from './cluster/find-servers.ts';
import { readEnvironment } from './config.ts';
import { runMuster } from './program.ts';

const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };

const dial = ({ servers, access }: NatsTarget) => connectNats({ servers, name: 'muster-cli', ...tools, ...access });

// A reader that has seen enough (`muster slots | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

process.exitCode = await runMuster(process.argv.slice(2), {
  ...tools,
  environment: readEnvironment(),
  folder: process.cwd(),
  out: (text) => process.stdout.write(`${text}\n`),
  err: (text) => process.stderr.write(`${text}\n`),
  isTerminal: process.stdout.isTTY,
  connect: async (target) => (await dial(target)).bus,
  dial,
  onStopSignal: (listener) => {
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  },
});
