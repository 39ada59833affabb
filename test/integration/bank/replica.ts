// One replica of the bank, a process of its own: `node replica.ts <name> <nats url>`. SIGTERM hands over and stops.
import { connectNats } from '@muster/nats';
import { MemoryMetrics, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { startRuntime } from '@muster/runtime';
import { bank } from './bank.ts';

const [, , replica = 'a', url = 'nats://127.0.0.1:4222'] = process.argv;
const clock = new SystemClock();
const random = new SystemRandom();
const nats = await connectNats({ servers: [url], name: replica, clock, random, logger: silentLogger });
const { journal } = await nats.openClusterStore({ cluster: 'bank' });
const runtime = await startRuntime({
  replica,
  cluster: 'bank',
  bus: nats.bus,
  journal,
  clock,
  random,
  logger: silentLogger,
  metrics: new MemoryMetrics(),
});
runtime.define([bank]);

process.once('SIGTERM', () => {
  void runtime
    .stop(5_000)
    .then(() => nats.close())
    .then(() => process.exit(0));
});
