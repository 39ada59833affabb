import {
  type AppendFault,
  FaultyJournal,
  ManualClock,
  MemoryBus,
  MemoryJournal,
  MemoryJournalServer,
  MemoryMetrics,
  MemoryNetwork,
  SeededRandom,
  silentLogger,
} from '@muster/ports';
import { expect, it } from 'vitest';
import { encodeRecord, parseRecord, recordHead, type SetOp } from '../journal/record.ts';
import { makeRuntimeMetrics } from '../metrics.ts';
import { Chain, type ChainOptions, type Release } from './chain.ts';
import { LoopWatch } from './loop-watch.ts';

const TAKEOVER_MS = 1_500;

function makeChain(options: { readonly recordBytesMax?: number; readonly faults?: readonly AppendFault[] } & Partial<ChainOptions> = {}) {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, transit: () => [1] });
  const server = new MemoryJournalServer({ clock, recordBytesMax: options.recordBytesMax ?? 64 * 1024 });
  const bus = new MemoryBus({ network, name: 'a' });
  const journal = new FaultyJournal(new MemoryJournal({ bus, server }), { clock });
  journal.inject(...(options.faults ?? []));
  const sent: { readonly data: Uint8Array; readonly expectedSeq: number }[] = [];
  let inFlight = 0;
  let inFlightMax = 0;
  const append = journal.append.bind(journal);
  journal.append = async (shard, data, how) => {
    sent.push({ data, expectedSeq: how.expectedSeq });
    inFlightMax = Math.max(inFlightMax, ++inFlight);
    const outcome = await append(shard, data, how);
    inFlight -= 1;
    return outcome;
  };
  const watch = new LoopWatch(clock, TAKEOVER_MS / 2);
  const deposed: string[] = [];
  const chain = new Chain({
    shard: 's',
    journal,
    clock,
    random: new SeededRandom(1),
    logger: silentLogger,
    metrics: makeRuntimeMetrics(new MemoryMetrics()),
    watch,
    by: 'a',
    epoch: 1,
    lastSeq: 0,
    lastOp: '',
    appendTimeoutMs: 1_000,
    isLinkUp: true,
    onDeposed: (why) => deposed.push(why),
    onChange: () => undefined,
    ...options,
  });
  // Ticks as the runtime makes them, so that only real gaps are gaps.
  const tick = (): void => {
    watch.observe();
    clock.setTimer(TAKEOVER_MS / 8, tick);
  };
  tick();
  const events: string[] = [];
  const release = (name: string): Release => ({ release: () => events.push(name), drop: () => events.push(`${name} dropped`) });
  const decide = (name: string, value: unknown = { name }): void => {
    const set: readonly SetOp[] = [['k', name, value]];
    const setJson = JSON.stringify(set[0]);
    chain.submit({ set, setJson, bytes: Buffer.byteLength(setJson), releases: [release(name)] });
  };
  const stored = () => server.records('s').map((message) => parseRecord(message).record);
  return { clock, server, network, bus, journal, watch, chain, deposed, events, decide, release, stored, sent, most: () => inFlightMax };
}

it('puts everything that was decided meanwhile into one record, with one append in flight (W1)', async () => {
  const { clock, chain, decide, events, stored, most } = makeChain();
  decide('one');
  await clock.settle();
  for (const name of ['two', 'three', 'four']) decide(name);
  await clock.runUntil(() => events.length === 4);
  expect(stored().map(({ set }) => set.map(([, id]) => id))).toEqual([['one'], ['two', 'three', 'four']]);
  expect(stored()[1]?.prev).toBe(stored()[0]?.op);
  expect(most()).toBe(1);
  expect(chain.lastSeq).toBe(2);
});

it('puts what is decided in one chunk of input into one record (W1)', async () => {
  const { clock, decide, events, stored } = makeChain();
  for (const name of ['one', 'two', 'three']) decide(name);
  await clock.runUntil(() => events.length === 3);
  expect(stored()).toHaveLength(1);
});

it('splits between decisions where a record would be too long, and never within one (W1)', async () => {
  const { clock, decide, events, stored, sent } = makeChain({ recordBytesMax: 4_000 });
  const long = { text: 'x'.repeat(900) };
  for (const name of ['a', 'b', 'c', 'd', 'e']) decide(name, long);
  decide('f', { text: 'ä'.repeat(1_500) });
  await clock.runUntil(() => events.length === 6);
  expect(stored().map(({ set }) => set.map(([, id]) => id))).toEqual([['a', 'b'], ['c', 'd'], ['e'], ['f']]);
  for (const { data } of sent) expect(data.length).toBeLessThanOrEqual(4_000);
});

it('releases nothing before the acknowledgement, then in order (W2)', async () => {
  const { clock, decide, events, server } = makeChain({ faults: [{ kind: 'delay', delayMs: 100 }] });
  decide('one');
  decide('two');
  await clock.run(150);
  expect(server.records('s')).toHaveLength(1);
  expect(events).toEqual([]);
  await clock.run(100);
  expect(events).toEqual(['one', 'two']);
});

it('answers a statement with a confirm that is sent after it came, shared by all that wait (W2)', async () => {
  const { clock, chain, decide, events, release, stored } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  const arrival = chain.sent;
  for (const name of ['first', 'second']) chain.state(release(name), arrival);
  expect(events).toEqual(['one']);
  await clock.runUntil(() => events.length === 3);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'confirm']);
});

it('lets a statement go with the record in flight only where that was sent after it came (W2)', async () => {
  const { clock, chain, decide, events, release, stored } = makeChain({ faults: [{ kind: 'delay', delayMs: 10 }] });
  const before = chain.sent;
  decide('one');
  await clock.settle();
  const after = chain.sent;
  chain.state(release('came before'), before);
  chain.state(release('came after'), after);
  await clock.runUntil(() => events.length === 3);
  expect(events).toEqual(['one', 'came before', 'came after']);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'confirm']);
  chain.state(release('at once'), before);
  expect(events).toContain('at once');
});

it('makes at most one confirm in a while for lazy statements, and takes them along with others', async () => {
  const { clock, chain, decide, events, release, stored } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  for (let n = 0; n < 10; n++) {
    chain.stateLazily(release(`lazy ${n}`), 250);
    await clock.run(20);
  }
  expect(events).toEqual(['one']);
  await clock.run(100);
  expect(events).toHaveLength(11);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'confirm']);
  chain.stateLazily(release('rides along'), 250);
  decide('two');
  await clock.run(5);
  expect(events.slice(11)).toEqual(['rides along', 'two']);
  await clock.run(1_000);
  expect(stored()).toHaveLength(3);
});

it('lets what nobody waits for ride with the next record, in its order, and sends it alone when it is due', async () => {
  const { clock, chain, decide, events, stored } = makeChain();
  const note = (id: string): void => {
    const setJson = `["k","${id}",{}]`;
    chain.submitLater({ set: [['k', id, {}]], setJson, bytes: setJson.length, releases: [] }, 20);
  };
  note('first');
  await clock.run(10);
  expect(stored()).toEqual([]);
  decide('one');
  await clock.runUntil(() => events.length === 1);
  expect(stored().map(({ set }) => set.map(([, id]) => id))).toEqual([['first', 'one']]);
  note('second');
  await clock.run(19);
  expect(stored()).toHaveLength(1);
  await clock.run(5);
  expect(stored()[1]?.set.map(([, id]) => id)).toEqual(['second']);
});

it('sends the very same bytes again when the acknowledgement was lost, and goes on where they had landed (W3)', async () => {
  const { clock, chain, decide, events, sent, stored, deposed } = makeChain({ faults: [{ kind: 'acknowledgement-lost' }] });
  decide('one');
  await clock.run(1_010);
  expect(chain.isFrozen).toBe(true);
  decide('two');
  expect(events).toEqual([]);
  await clock.runUntil(() => events.length === 2);
  expect(Buffer.from(sent[1]?.data ?? []).equals(Buffer.from(sent[0]?.data ?? [1]))).toBe(true);
  expect(sent[1]?.expectedSeq).toBe(0);
  expect(stored().map(({ set }) => set.map(([, id]) => id))).toEqual([['one'], ['two']]);
  expect(deposed).toEqual([]);
  expect(chain.isFrozen).toBe(false);
});

it('sends the very same bytes again when the append was lost (W3)', async () => {
  const { clock, decide, events, sent, stored } = makeChain({
    faults: [{ kind: 'lost' }, { kind: 'not-stored', reason: 'no-responders' }],
  });
  decide('one');
  await clock.run(500);
  decide('two');
  await clock.runUntil(() => events.length === 2);
  expect(new Set(sent.slice(0, 3).map(({ data }) => Buffer.from(data).toString())).size).toBe(1);
  expect(stored().map(({ set }) => set.map(([, id]) => id))).toEqual([['one'], ['two']]);
});

it('does not take a definite refusal of one copy for the fate of an earlier one (W3)', async () => {
  // The first copy is still on its way and lands after the second was refused.
  const { clock, decide, events, stored, sent } = makeChain({
    faults: [
      { kind: 'late', afterMs: 30 },
      { kind: 'not-stored', reason: 'no-responders' },
    ],
  });
  decide('one');
  await clock.runUntil(() => events.length === 1);
  decide('two');
  await clock.runUntil(() => events.length === 2);
  // The first was found, not acknowledged: a confirm proves that it is still the last before anything leaves.
  expect(stored().map(({ set }) => set.map(([, id]) => id))).toEqual([['one'], [], ['two']]);
  expect(new Set(sent.slice(0, 3).map(({ data }) => Buffer.from(data).toString())).size).toBe(1);
});

it('is deposed where another record is in its place, and drops what waits (W4, W6)', async () => {
  const { clock, chain, decide, events, deposed, server } = makeChain();
  server.append('s', Buffer.from('{"v":1,"by":"b","epoch":2,"op":"other","prev":"","type":"epoch","replica":"b","retain":{}}'), 0, false);
  decide('one');
  await clock.settle();
  decide('two');
  await clock.runUntil(() => deposed.length === 1);
  expect(events).toEqual(['one dropped', 'two dropped']);
  expect(chain.isClosed).toBe(true);
  decide('three');
  expect(events).toEqual(['one dropped', 'two dropped', 'three dropped']);
  await clock.run(5_000);
  expect(server.records('s')).toHaveLength(1);
});

it('is deposed when its ambiguous record landed and another took over behind it: nothing leaves (W4, W5)', async () => {
  const { clock, decide, events, deposed, server, stored } = makeChain({ faults: [{ kind: 'acknowledgement-lost' }] });
  decide('one');
  await clock.run(500);
  const [first] = stored();
  const epoch = `{"v":1,"by":"b","epoch":2,"op":"other","prev":"${first?.op}","type":"epoch","replica":"b","retain":{}}`;
  server.append('s', Buffer.from(epoch), 1, false);
  await clock.runUntil(() => deposed.length === 1);
  expect(events).toEqual(['one dropped']);
});

it('is deposed when its place is empty: the journal lost writes (W4)', async () => {
  const { clock, decide, events, deposed, server } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  server.loseTail(0);
  decide('two');
  await clock.runUntil(() => deposed.length === 1);
  expect(events).toEqual(['one', 'two dropped']);
});

it('lets nothing out over a gap of its loop before a later record is acknowledged (W5)', async () => {
  const { clock, decide, events, stored } = makeChain({ faults: [{ kind: 'delay', delayMs: 100 }] });
  decide('one');
  await clock.run(150);
  clock.jump(TAKEOVER_MS);
  await clock.run(60);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'confirm']);
  expect(events).toEqual(['one']);
});

it('lets nothing out over a gap when another took over meanwhile (W5)', async () => {
  const { clock, decide, events, stored, server, deposed } = makeChain({ faults: [{ kind: 'delay', delayMs: 100 }] });
  decide('one');
  await clock.run(150);
  const epoch = `{"v":1,"by":"b","epoch":2,"op":"other","prev":"${stored()[0]?.op}","type":"epoch","replica":"b","retain":{}}`;
  server.append('s', Buffer.from(epoch), 1, false);
  clock.jump(TAKEOVER_MS);
  await clock.runUntil(() => deposed.length === 1);
  expect(events).toEqual(['one dropped']);
});

it('holds back a statement that relies on an acknowledgement from before a gap (W5)', async () => {
  const { clock, chain, decide, events, release, stored } = makeChain();
  const arrival = chain.sent;
  decide('one');
  await clock.runUntil(() => events.length === 1);
  clock.jump(TAKEOVER_MS);
  chain.state(release('after the gap'), arrival);
  expect(events).toEqual(['one']);
  await clock.runUntil(() => events.length === 2);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'confirm']);
});

it('sends nothing while the link is down, and is frozen', async () => {
  const { clock, chain, decide, events, sent } = makeChain();
  chain.setLink(false);
  expect(chain.isFrozen).toBe(true);
  decide('one');
  await clock.run(1_000);
  expect(sent).toHaveLength(0);
  chain.setLink(true);
  await clock.runUntil(() => events.length === 1);
});

it('goes on releasing when one of those that wait throws', async () => {
  const { clock, chain, events, release } = makeChain();
  const broken: Release = {
    release: () => {
      throw new Error('defect');
    },
  };
  chain.submit({ set: [], setJson: '', bytes: 0, releases: [broken, release('next')] });
  await clock.runUntil(() => events.length === 1);
});

it('lets nothing follow a handover whose acknowledgement was lost (W7)', async () => {
  const { clock, chain, release, events, stored } = makeChain({ faults: [{ kind: 'acknowledgement-lost' }] });
  chain.submit({
    type: 'handover',
    isFinal: true,
    encode: (head) => encodeRecord(head, ',"to":"b"', ''),
    releases: [release('handed over')],
  });
  await clock.settle();
  chain.state(release('a statement'), 0);
  await clock.run(500);
  chain.setLink(false);
  chain.setLink(true);
  await clock.run(10_000);
  expect(events).toEqual(['handed over', 'a statement dropped']);
  expect(stored().map(({ type }) => type)).toEqual(['handover']);
});

it('is frozen while it is not known what is in its place (W3)', async () => {
  const { clock, chain, journal, decide, events } = makeChain({ faults: [{ kind: 'conflict' }] });
  const answer = Promise.withResolvers<undefined>();
  journal.next = () => answer.promise;
  decide('one');
  await clock.run(50);
  expect(chain.isFrozen).toBe(true);
  answer.resolve(undefined);
  await clock.run(1_000);
  expect(events).toEqual(['one dropped']);
});

it('asks after a reconnect whether the chain is still its own, also where it has nothing to say', async () => {
  const { clock, chain, decide, deposed, events, stored, server } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  chain.setLink(false);
  chain.setLink(true);
  await clock.run(100);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'confirm']);
  chain.setLink(false);
  // What was lost is made up for by others: the end of the stream does not show it.
  server.loseTail(1);
  for (let n = 0; n < 5; n += 1) server.append('other', new Uint8Array(), server.last('other')?.seq ?? 0, false);
  chain.setLink(true);
  await clock.run(1_000);
  expect(deposed).toEqual(['the chain is shorter than it was']);
});

it('sends nothing on top of a record that took the place of its own (W8)', async () => {
  const { clock, chain, decide, deposed, events, sent, server } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  chain.setLink(false);
  decide('two');
  // NATS lost the record, and another writer's has its position: an append would be taken for the next one.
  server.loseTail(0);
  server.append('s', encodeRecord(recordHead({ by: 'b', epoch: 2, op: 'theirs', prev: '', type: 'confirm' }), '', ''), 0, false);
  chain.setLink(true);
  expect(chain.isFrozen).toBe(true);
  await clock.run(1_000);
  expect(deposed).toEqual(['another record is in our place']);
  expect(events).toEqual(['one', 'two dropped']);
  expect(sent).toHaveLength(1);
});

it('takes one old read after a reconnect for what it is (W8)', async () => {
  const { clock, chain, decide, deposed, events, journal } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  const last = journal.last.bind(journal);
  const reads = [() => Promise.reject(new Error('no answer')), () => Promise.resolve(undefined)];
  journal.last = (shard) => reads.shift()?.() ?? last(shard);
  chain.setLink(false);
  chain.setLink(true);
  decide('two');
  await clock.runUntil(() => events.length === 2);
  expect(deposed).toEqual([]);
});

it('sends nothing ahead of what is queued before it knows whose the record at its place is (W8)', async () => {
  const { clock, chain, decide, events, stored } = makeChain();
  decide('one');
  await clock.runUntil(() => events.length === 1);
  chain.hold();
  const special = { type: 'handover', encode: (head: string) => encodeRecord(head, ',"to":"b"', ''), releases: [] } as const;
  chain.setLink(false);
  expect(() => chain.sendHeld(special)).toThrow('sendHeld needs');
  chain.setLink(true);
  expect(() => chain.sendHeld(special)).toThrow('sendHeld needs');
  await clock.runUntil(() => !chain.isFrozen);
  chain.sendHeld(special);
  await clock.run(100);
  expect(stored().map(({ type }) => type)).toEqual(['ops', 'handover', 'confirm']);
});
