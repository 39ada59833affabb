import { expect, test } from 'vitest';
import type { AppendOutcome } from '../journal.ts';
import { type AppendFault, FaultyJournal } from './faulty-journal.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryBus } from './memory-bus.ts';
import { MemoryJournal } from './memory-journal.ts';
import { MemoryJournalServer } from './memory-journal-server.ts';
import { MemoryNetwork } from './memory-network.ts';

function makeJournal() {
  const clock = new ManualClock();
  const server = new MemoryJournalServer({ clock });
  const bus = new MemoryBus({ network: new MemoryNetwork({ clock }), name: 'one' });
  const journal = new FaultyJournal(new MemoryJournal({ bus, server }), { clock });
  const append = (expectedSeq: number): Promise<AppendOutcome> =>
    clock.resolve(journal.append('a', Uint8Array.of(1), { expectedSeq, timeoutMs: 100 }));
  return { clock, server, journal, append };
}

test.each<[AppendFault, Partial<AppendOutcome>, landedAtOnce: number, landedLater: number, takesMs: number]>([
  [{ kind: 'acknowledgement-lost' }, { kind: 'unknown' }, 1, 1, 100],
  [{ kind: 'lost' }, { kind: 'unknown' }, 0, 0, 100],
  [{ kind: 'late', afterMs: 50 }, { kind: 'unknown' }, 0, 1, 100],
  [{ kind: 'not-stored', reason: 'no-responders' }, { kind: 'not-stored', reason: 'no-responders' }, 0, 0, 0],
  [{ kind: 'not-stored', reason: 'in-flight' }, { kind: 'not-stored', reason: 'in-flight' }, 0, 0, 0],
  [{ kind: 'conflict' }, { kind: 'conflict' }, 0, 0, 0],
  [{ kind: 'delay', delayMs: 20 }, { kind: 'stored', seq: 1 }, 1, 1, 40],
])('%j: %j', async (fault, outcome, landedAtOnce, landedLater, takesMs) => {
  const { clock, server, journal, append } = makeJournal();
  journal.inject(fault);
  expect(await append(0)).toMatchObject(outcome);
  expect(clock.monotonicMs()).toBe(takesMs);
  expect(server.records('a')).toHaveLength(landedAtOnce);
  await clock.run(1000);
  expect(server.records('a')).toHaveLength(landedLater);
  expect(await append(landedLater)).toMatchObject({ kind: 'stored' });
});

test('injected faults come first and in order, then the chosen ones', async () => {
  const { journal, append } = makeJournal();
  journal.inject({ kind: 'conflict' }, { kind: 'not-stored', reason: 'limit' });
  journal.choose = (shard, _, options) => (shard === 'a' && options.expectedSeq === 1 ? { kind: 'conflict' } : undefined);
  expect((await append(0)).kind).toBe('conflict');
  expect((await append(0)).kind).toBe('not-stored');
  expect((await append(0)).kind).toBe('stored');
  expect((await append(1)).kind).toBe('conflict');
});
