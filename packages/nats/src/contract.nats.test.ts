import type { Journal, MessageBus } from '@muster/ports';
import {
  describeJournalContract,
  describeLatestValuesContract,
  describeMessageBusContract,
  type JournalWorld,
  type NatsProcess,
  NatsWorld,
  natsServerBinaries,
  startNatsCluster,
  startNatsWorld,
} from '@muster/testkit';
import { jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import { isAtLeast } from './server-version.ts';

function journalWorld(world: NatsWorld, replicas: number): JournalWorld {
  const processes = new Map<Journal, NatsProcess>();
  return {
    open: async (name) => {
      const process = await world.connectByProxy(name);
      const { journal } = await process.nats.openClusterStore({ cluster: 'test', replicas });
      processes.set(journal, process);
      return journal;
    },
    cut: async (journal) => processes.get(journal)?.cut(),
    mend: async (journal) => processes.get(journal)?.mend(),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

for (const { path, version } of natsServerBinaries()) {
  describeMessageBusContract(`nats-server ${version}`, async () => {
    const world = await startNatsWorld({ binary: path });
    const processes = new Map<MessageBus, NatsProcess>();
    return {
      connect: async (name) => {
        const process = await world.connectByProxy(name);
        processes.set(process.nats.bus, process);
        return process.nats.bus;
      },
      cut: async (bus) => processes.get(bus)?.cut(),
      mend: async (bus) => processes.get(bus)?.mend(),
      [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
    };
  });

  describeJournalContract(`nats-server ${version}`, async () => journalWorld(await startNatsWorld({ binary: path }), 1));

  if (isAtLeast(version, '2.11.0')) {
    describeJournalContract(`three copies on a cluster of nats-server ${version}`, async () => {
      await using resources = new AsyncDisposableStack();
      const [server] = resources.use(await startNatsCluster({ binary: path })).servers;
      if (server === undefined) throw new Error('the cluster has no server');
      return journalWorld(new NatsWorld(server, resources.move()), 3);
    });
  }

  describeLatestValuesContract(`nats-server ${version}`, async () => {
    const world = await startNatsWorld({ binary: path });
    const nats = await world.connect('writer');
    const { latestValues } = await nats.openClusterStore({ cluster: 'test' });
    // Whoever looks does so with the client's own key-value API, as `nats kv get` does.
    const looker = await connect({ servers: world.server.url });
    const bucket = await new Kvm(jetstream(looker, { timeout: 20_000 })).open('muster_test_slots');
    return {
      latestValues,
      read: async (key) => {
        const entry = await bucket.get(key);
        return entry === null || entry.operation !== 'PUT' ? undefined : entry.value;
      },
      [Symbol.asyncDispose]: async () => {
        await looker.close();
        await world[Symbol.asyncDispose]();
      },
    };
  });
}
