import { expect, test } from 'vitest';
import { createActor, transition } from 'xstate';
import { getShortestPaths } from 'xstate/graph';
import { countsForOrg, DETAIL_CHARS_MAX, impliedEffect, SLOT_STATES, type SlotEvent, slotMachine, slotStateName } from './slot-machine.ts';

const input = { id: 'duckdb-1', pool: 'duckdb', shard: 'duckdb', templateHash: 't1', intent: 1, host: 'h1' };
const reserve = (org: string): SlotEvent => ({ type: 'slot.reserved', org, requestId: 'r1', ttlMs: 60_000, source: 'warm' });
const events: SlotEvent[] = [
  { type: 'worker.created', handle: { host: 'h1', pid: 1 } },
  { type: 'worker.ready', instance: 'i1', endpoint: 'http://127.0.0.1:1' },
  { type: 'worker.held', detail: 'unschedulable: no room' },
  { type: 'worker.placed' },
  { type: 'spawn.failed', detail: 'exit 1' },
  { type: 'spawn.timed-out' },
  reserve('acme'),
  reserve('other'),
  { type: 'worker.activated' },
  { type: 'activation.failed', detail: 'no' },
  { type: 'reservation.released', recycle: 'single-use' },
  { type: 'reservation.released', recycle: 'same-org' },
  { type: 'reservation.released', recycle: 'shared' },
  { type: 'reservation.cancelled' },
  { type: 'lease.expired' },
  { type: 'parked.expired' },
  { type: 'worker.reset' },
  { type: 'reset.failed', detail: 'no' },
  { type: 'worker.lost', detail: 'exit 137' },
  { type: 'drain.ordered', reason: 'scale-down' },
  { type: 'drain.ordered', reason: 'drained-by-hand', isForced: true },
  { type: 'worker.gone' },
];

/** Every state (with who has it, and whether it is promised) that the machine can reach within two reservations. */
function reachable() {
  return getShortestPaths(slotMachine, {
    input,
    events,
    serializeState: (snapshot) =>
      `${slotStateName(snapshot.value)} ${snapshot.context.org} ${snapshot.context.epoch} ${snapshot.context.reservation?.id ?? '-'}`,
    stopWhen: (snapshot) => snapshot.context.epoch >= 2,
  });
}

test('every state of the list is reached, and no other', () => {
  const seen = new Set(reachable().map((path) => slotStateName(path.state.value)));
  expect([...seen].sort()).toEqual([...SLOT_STATES].sort());
});

test('S1: a reservation has an org and the current epoch in its id, on every path', () => {
  for (const path of reachable()) {
    const { reservation, org, epoch, id } = path.state.context;
    const state = slotStateName(path.state.value);
    expect(reservation !== null).toBe(state === 'reserved.activating' || state === 'reserved.active');
    if (reservation !== null) {
      expect(reservation.id).toBe(`${id}_${epoch}`);
      expect(org).not.toBeNull();
    }
    if (countsForOrg(state)) expect(org).not.toBeNull();
  }
});

test('S2: reaped comes from draining only', () => {
  for (const path of reachable()) {
    for (const event of events) {
      const [next] = transition(slotMachine, path.state, event);
      if (next.value === 'reaped' && path.state.value !== 'reaped') {
        expect(path.state.value).toBe('draining');
        expect(event.type).toBe('worker.gone');
      }
    }
  }
});

test('S3: warm means no org; a slot of an org becomes warm only by a confirmed reset', () => {
  for (const path of reachable()) {
    if (path.state.value === 'warm') expect(path.state.context.org).toBeNull();
    for (const event of events) {
      const [next] = transition(slotMachine, path.state, event);
      if (next.value === 'warm' && path.state.context.org !== null) expect(event.type).toBe('worker.reset');
    }
  }
});

test('S4: an order drains a reserved slot only by force', () => {
  for (const path of reachable()) {
    const state = slotStateName(path.state.value);
    if (state !== 'reserved.activating' && state !== 'reserved.active') continue;
    const [kept] = transition(slotMachine, path.state, { type: 'drain.ordered', reason: 'scale-down' });
    expect(slotStateName(kept.value)).toBe(state);
    const [forced] = transition(slotMachine, path.state, { type: 'drain.ordered', reason: 'drained-by-hand', isForced: true });
    expect(forced.value).toBe('draining');
    expect(forced.context.lastEnd).toEqual({ epoch: forced.context.epoch, reason: 'drained-by-hand' });
  }
});

test('what a slot emits on entering a state is what the state implies for a new owner', () => {
  for (const path of reachable()) {
    for (const event of events) {
      const before = slotStateName(path.state.value);
      if (before === 'reaped') continue;
      const actor = createActor(slotMachine, { snapshot: path.state, input });
      const emitted: string[] = [];
      actor.on('*', (effect) => emitted.push(effect.type));
      actor.start();
      actor.send(event);
      const after = slotStateName(actor.getSnapshot().value);
      if (after === before) expect(emitted).toEqual([]);
      else expect(emitted).toEqual([impliedEffect(after)].filter((effect) => effect !== undefined));
    }
  }
});

test('a parked slot goes to its own org only', () => {
  const parked = reachable().find((path) => slotStateName(path.state.value) === 'reserved.parked' && path.state.context.org === 'acme');
  if (parked === undefined) throw new Error('no path to parked');
  expect(slotStateName(transition(slotMachine, parked.state, reserve('other'))[0].value)).toBe('reserved.parked');
  const [again] = transition(slotMachine, parked.state, reserve('acme'));
  expect(slotStateName(again.value)).toBe('reserved.activating');
  expect(again.context.epoch).toBe(2);
});

test('a record is small, whatever its worker and its driver say', () => {
  const long = { id: `${'p'.repeat(40)}--63-12345678`, pool: 'p'.repeat(40), shard: `${'p'.repeat(40)}--63` };
  const words = 'x'.repeat(100_000);
  const handle = { host: 'h'.repeat(64), pid: 4_194_304, startTime: '1'.repeat(20), podUid: 'u'.repeat(36) };
  const told: SlotEvent[] = [
    { type: 'worker.created', handle },
    { type: 'worker.held', detail: words },
    { type: 'worker.placed' },
    { type: 'worker.ready', instance: 'i'.repeat(64), endpoint: 'e'.repeat(256) },
    { type: 'slot.reserved', org: 'o'.repeat(64), requestId: 'r'.repeat(128), ttlMs: 86_400_000, source: 'waited' },
    { type: 'worker.activated' },
    { type: 'worker.lost', detail: words },
  ];
  const actor = createActor(slotMachine, { input: { ...input, ...long, host: handle.host } }).start();
  for (const event of told) {
    actor.send(event);
    const { value, context } = actor.getSnapshot();
    expect(JSON.stringify({ state: value, context }).length).toBeLessThanOrEqual(2_048);
  }
  const { detail, hold } = actor.getSnapshot().context;
  expect([detail?.length, hold?.reason.length]).toEqual([DETAIL_CHARS_MAX, DETAIL_CHARS_MAX]);
});
