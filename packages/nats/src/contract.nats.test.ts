import type { Journal, MessageBus } from '@muster/ports';
import {
  describeJournalContract,
  describeLatestValuesContract,
  describeMessageBusContract,
  type NatsProcess,
  natsServerBinaries,
  startNatsWorld,
} from '@muster/testkit';
import { jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

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

  describeJournalContract(`nats-server ${version}`, async () => {
    const world = await startNatsWorld({ binary: path });
    const processes = new Map<Journal, NatsProcess>();
    return {
      open: async (name) => {
        const process = await world.connectByProxy(name);
        const { journal } = await process.nats.openClusterStore({ cluster: 'test' });
        processes.set(journal, process);
        return journal;
      },
      cut: async (journal) => processes.get(journal)?.cut(),
      mend: async (journal) => processes.get(journal)?.mend(),
      [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
    };
  });

  describeLatestValuesContract(`nats-server ${version}`, async () => {
    const world = await startNatsWorld({ binary: path });
    const nats = await world.connect('writer');
    const { latestValues } = await nats.openClusterStore({ cluster: 'test' });
    // Whoever looks does so with the client's own key-value API, as `nats kv get` does.
    const looker = await connect({ servers: world.server.url });
    const bucket = await new Kvm(jetstream(looker)).open('muster_test_slots');
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
