import { expect, test } from 'vitest';
import { ManualClock } from './manual-clock.ts';
import { MemoryBus } from './memory-bus.ts';
import { MemoryJournal } from './memory-journal.ts';
import { MemoryJournalServer } from './memory-journal-server.ts';
import { MemoryNetwork } from './memory-network.ts';
import { ProcessClock } from './process-clock.ts';

function makeProcess() {
  const world = new ManualClock();
  const network = new MemoryNetwork({ clock: world });
  const clock = new ProcessClock(world);
  const bus = new MemoryBus({ network, name: 'process', clock });
  const journal = new MemoryJournal({ bus, server: new MemoryJournalServer({ clock: world }) });
  const outside = new MemoryBus({ network, name: 'outside' });
  const happened: string[] = [];
  bus.subscribe('news', (message) => happened.push(`news ${message.data[0]} at ${clock.monotonicMs()}`));
  clock.setTimer(10, () => happened.push(`timer at ${clock.monotonicMs()}`));
  const tell = (what: number): void => outside.publish('news', Uint8Array.of(what));
  return { world, clock, journal, happened, tell };
}

test('while a process is paused time passes and nothing happens; then everything does, late and in order', () => {
  const { world, clock, happened, tell } = makeProcess();
  clock.pause();
  tell(1);
  world.advance(20);
  tell(2);
  const cancelled = clock.setTimer(5, () => happened.push('cancelled'));
  world.advance(80);
  expect(happened).toEqual([]);
  cancelled.cancel();
  clock.resume();
  world.advance(0);
  expect(happened).toEqual(['news 1 at 100', 'timer at 100', 'news 2 at 100']);
});

test('a paused process does not see the outcome of its append before it goes on, and then its time-out has passed too', async () => {
  const { world, clock, journal } = makeProcess();
  let outcome: unknown;
  void journal.append('a', Uint8Array.of(1), { expectedSeq: 0, timeoutMs: 50 }).then((value) => {
    outcome = value;
  });
  clock.pause();
  await world.run(1000);
  expect(outcome).toBeUndefined();
  clock.resume();
  await world.run(0);
  // The answer came first, and is read first.
  expect(outcome).toEqual({ kind: 'stored', seq: 1 });
});

test('in a killed process nothing happens any more', () => {
  const { world, clock, happened, tell } = makeProcess();
  clock.pause();
  tell(1);
  world.advance(20);
  clock.kill();
  clock.resume();
  tell(2);
  world.advance(1000);
  expect(happened).toEqual([]);
  expect(clock.isKilled).toBe(true);
});
