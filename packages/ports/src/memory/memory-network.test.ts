import { expect, test } from 'vitest';
import { ManualClock } from './manual-clock.ts';
import { MemoryBus } from './memory-bus.ts';
import { MemoryJournal } from './memory-journal.ts';
import { MemoryJournalServer } from './memory-journal-server.ts';
import { type Hop, MemoryNetwork } from './memory-network.ts';
import { isSubjectMatch } from './subject.ts';

const bytes = (value: number): Uint8Array => Uint8Array.of(value);

function makeWorld(transit: (hop: Hop) => readonly number[] = () => [0], isOrdered = true) {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, transit, isOrdered });
  const [alice, bob] = [new MemoryBus({ network, name: 'alice' }), new MemoryBus({ network, name: 'bob' })];
  const heard: number[] = [];
  bob.subscribe('s', (message) => heard.push(message.data[0] ?? 0));
  return { clock, network, alice, bob, heard };
}

test('nothing is handled in the turn that sends it', () => {
  const { clock, alice, heard } = makeWorld();
  alice.publish('s', bytes(1));
  expect(heard).toEqual([]);
  clock.advance(0);
  expect(heard).toEqual([1]);
});

test('a message takes as long as its way, is lost or doubled as the way says', () => {
  const ways = [[5], [], [0, 20], [1]];
  const { clock, alice, heard } = makeWorld(() => ways.shift() ?? [0]);
  for (let at = 1; at <= 4; at++) alice.publish('s', bytes(at));
  clock.advance(4);
  expect(heard).toEqual([]);
  clock.advance(1);
  expect(heard).toEqual([1, 3]);
  clock.advance(100);
  expect(heard).toEqual([1, 3, 3, 4]);
});

test('without order a message may overtake', () => {
  const ways = [[5], [1]];
  const { clock, alice, heard } = makeWorld(() => ways.shift() ?? [0], false);
  alice.publish('s', bytes(1));
  alice.publish('s', bytes(2));
  clock.advance(10);
  expect(heard).toEqual([2, 1]);
});

test('what was on its way when the link broke is lost, also when the link is back', () => {
  const { clock, alice, bob, heard } = makeWorld(() => [10]);
  alice.publish('s', bytes(1));
  bob.disconnect();
  bob.reconnect();
  alice.publish('s', bytes(2));
  clock.advance(100);
  expect(heard).toEqual([2]);
});

test('an answer that is lost makes a time-out, on the clock of the asker', async () => {
  const { clock, alice, bob } = makeWorld((hop) => (hop.from === 'bob' ? [] : [0]));
  bob.subscribe('ask', (message) => message.respond(bytes(1)));
  await expect(clock.resolve(alice.request('ask', bytes(0), { timeoutMs: 50 }))).rejects.toMatchObject({ code: 'timeout' });
  expect(clock.monotonicMs()).toBe(50);
});

test('an append whose acknowledgement is lost is unknown and has landed; one that is lost has not', async () => {
  let lost: string | undefined = 'alice';
  const { clock, alice } = makeWorld((hop) => (hop.to === lost ? [] : [0]));
  const server = new MemoryJournalServer({ clock });
  const journal = new MemoryJournal({ bus: alice, server });
  const options = { expectedSeq: 0, timeoutMs: 50 };
  expect(await clock.resolve(journal.append('a', bytes(1), options))).toMatchObject({ kind: 'unknown' });
  expect(server.records('a')).toHaveLength(1);
  lost = 'journal';
  expect(await clock.resolve(journal.append('b', bytes(1), options))).toMatchObject({ kind: 'unknown' });
  expect(server.records('b')).toHaveLength(0);
});

test('a follower gets everything once and in order, however often its deliveries are lost', async () => {
  let hops = 0;
  const { clock, alice, bob } = makeWorld((hop) => (hop.subject === 'follow' && ++hops % 3 !== 0 ? [] : [1]));
  const server = new MemoryJournalServer({ clock });
  const [writer, reader] = [new MemoryJournal({ bus: alice, server }), new MemoryJournal({ bus: bob, server })];
  const seen: number[] = [];
  await reader.follow({ message: ({ seq }) => seen.push(seq), reset: () => seen.splice(0), caughtUp: () => undefined });
  for (let seq = 0; seq < 30; seq++) await clock.resolve(writer.append('a', bytes(seq), { expectedSeq: seq, timeoutMs: 50 }));
  await clock.run(60_000);
  expect(seen).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
});

test('a follower of a server that lost its tail, or everything, is reset and given all again', async () => {
  const { clock, bob } = makeWorld();
  const server = new MemoryJournalServer({ clock });
  const journal = new MemoryJournal({ bus: bob, server });
  const given: (number | string)[] = [];
  await journal.follow({
    message: ({ seq }) => given.push(seq),
    reset: () => given.push('reset'),
    caughtUp: () => given.push('caught up'),
  });
  for (let seq = 0; seq < 3; seq++) server.append('a', bytes(seq), seq, false);
  await clock.run(10);
  server.loseTail(2);
  await clock.run(10);
  server.append('a', bytes(9), 2, true);
  await clock.run(10);
  server.recreate();
  await clock.run(10);
  expect(given).toEqual([1, 2, 3, 'caught up', 'reset', 1, 2, 'caught up', 3, 'reset', 'caught up']);
  expect(server.last('a')).toBeUndefined();
});

test('records rolled up are gone for who follows later, whatever their number', async () => {
  const { clock, bob } = makeWorld();
  const server = new MemoryJournalServer({ clock });
  const other = server.append('b', bytes(0), 0, false);
  let last = 0;
  for (let at = 0; at < 1000; at++) {
    const outcome = server.append('a', bytes(0), last, at % 100 === 99);
    last = outcome.kind === 'stored' ? outcome.seq : 0;
  }
  const seen: number[] = [];
  await new MemoryJournal({ bus: bob, server }).follow({
    message: ({ seq }) => seen.push(seq),
    reset: () => undefined,
    caughtUp: () => undefined,
  });
  await clock.run(10);
  expect(other).toEqual({ kind: 'stored', seq: 1 });
  expect(seen).toEqual([1, 1001]);
});

test.each([
  ['a.b', 'a.b', true],
  ['a.b', 'a.c', false],
  ['a.*', 'a.b', true],
  ['a.*', 'a.b.c', false],
  ['a.*.c', 'a.b.c', true],
  ['a.>', 'a', false],
  ['a.>', 'a.b.c', true],
  ['>', 'a', true],
  ['*', 'a.b', false],
])('%s takes %s: %s', (pattern, subject, expected) => {
  expect(isSubjectMatch(pattern, subject)).toBe(expected);
});
