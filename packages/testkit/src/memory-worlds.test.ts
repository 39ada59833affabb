import { MemoryBus, MemoryJournal, MemoryJournalServer, MemoryLatestValues, MemoryNetwork, SystemClock } from '@muster/ports';
import { describeJournalContract } from './journal-contract.ts';
import { describeLatestValuesContract } from './latest-values-contract.ts';
import { describeMessageBusContract } from './message-bus-contract.ts';

describeMessageBusContract('memory', async () => {
  const network = new MemoryNetwork({ clock: new SystemClock() });
  return {
    connect: async (name) => new MemoryBus({ network, name }),
    cut: async (bus) => (bus as MemoryBus).disconnect(),
    mend: async (bus) => (bus as MemoryBus).reconnect(),
    [Symbol.asyncDispose]: async () => undefined,
  };
});

describeJournalContract('memory', async () => {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  const server = new MemoryJournalServer({ clock });
  const buses = new Map<unknown, MemoryBus>();
  return {
    open: async (name) => {
      const bus = new MemoryBus({ network, name });
      const journal = new MemoryJournal({ bus, server });
      buses.set(journal, bus);
      return journal;
    },
    cut: async (journal) => buses.get(journal)?.disconnect(),
    mend: async (journal) => buses.get(journal)?.reconnect(),
    [Symbol.asyncDispose]: async () => {
      for (const bus of buses.values()) await bus.close();
    },
  };
});

describeLatestValuesContract('memory', async () => {
  const latestValues = new MemoryLatestValues();
  return { latestValues, read: async (key) => latestValues.values.get(key), [Symbol.asyncDispose]: async () => undefined };
});
