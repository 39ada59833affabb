// Every simple path of the slot's machine, walked step by step: what holds over a whole life, not only in each state.
import {
  countsForOrg,
  SLOT_STATES,
  type SlotContext,
  type SlotEvent,
  slotMachine,
  type SlotStateName,
  slotStateName,
} from '@muster/domain';
import { expect, test } from 'vitest';
import { initialTransition, transition } from 'xstate';
import { getSimplePaths } from 'xstate/graph';

const EPOCHS_MAX = 2;
const RECORD_BYTES_MAX = 1_024;
const input = { id: 'duckdb-1a2b3c4d', pool: 'duckdb', shard: 'duckdb', templateHash: 'a1b2c3d4e5f6', intent: 1, host: 'host-1' };
const reserve = (org: string): SlotEvent => ({ type: 'slot.reserved', org, requestId: `of-${org}`, ttlMs: 60_000, source: 'warm' });
/** One of each kind, and of those that decide something, one for each way. */
const events: readonly SlotEvent[] = [
  { type: 'worker.created', handle: { host: 'host-1', pid: 4242, startTime: '123456' } },
  { type: 'worker.held', detail: 'unschedulable: no room' },
  { type: 'worker.placed' },
  { type: 'worker.ready', instance: 'i1', endpoint: 'http://127.0.0.1:1' },
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

interface Step {
  readonly event: SlotEvent;
  readonly before: SlotContext;
  readonly after: SlotContext;
  readonly from: SlotStateName;
  readonly to: SlotStateName;
}

/** All lives of a slot within two reservations; a life is told apart by its state, its org, its epoch and its hold. */
const lives: readonly (readonly Step[])[] = getSimplePaths(slotMachine, {
  input,
  events,
  serializeState: ({ value, context }) =>
    [slotStateName(value), context.org, context.epoch, context.hold?.isOver, context.reservation === null].join(' '),
  stopWhen: ({ context }) => context.epoch > EPOCHS_MAX,
}).map(({ steps }) => walk(steps.slice(1).map(({ event }) => event)));

/** Lives it from the start: the states of a path stand for all that look alike, and have what another life has left in them. */
function walk(path: readonly SlotEvent[]): readonly Step[] {
  let [state] = initialTransition(slotMachine, input);
  return path.map((event) => {
    const before = state;
    [state] = transition(slotMachine, before, event);
    return { event, before: before.context, after: state.context, from: slotStateName(before.value), to: slotStateName(state.value) };
  });
}

test('the paths lead everywhere, and by every kind of event', () => {
  const steps = lives.flat();
  expect(lives.length).toBeGreaterThan(1_000);
  expect(new Set(lives.map((life) => life.at(-1)?.to))).toContain('reaped');
  expect(new Set(steps.flatMap(({ from, to }) => [from, to]))).toEqual(new Set(SLOT_STATES));
  const moving = new Set(steps.filter(({ from, to, before, after }) => from !== to || before !== after).map(({ event }) => event.type));
  // What only adds to the record leads to no state of its own.
  expect(new Set(events.map(({ type }) => type)).difference(moving)).toEqual(new Set(['worker.created']));
});

test('S1: each reservation has the next epoch and ends once, for a reason, before there is another', () => {
  for (const life of lives) {
    let live: string | undefined;
    for (const { event, before, after } of life) {
      expect(after.epoch - before.epoch).toBe(after.epoch === before.epoch ? 0 : 1);
      if (after.epoch !== before.epoch) {
        expect([event.type, live]).toEqual(['slot.reserved', undefined]);
        expect(after.reservation?.id).toBe(`${after.id}_${after.epoch}`);
        live = after.reservation?.id;
      } else if (before.reservation !== null && after.reservation === null) {
        expect(before.reservation.id).toBe(live);
        expect(after.lastEnd).toEqual({ epoch: before.epoch, reason: expect.any(String) });
        live = undefined;
      } else {
        expect(after.reservation?.id).toBe(live);
      }
    }
  }
});

test('S2 and the end: what drains never comes back, and is reaped by the news that the worker is gone alone', () => {
  for (const life of lives) {
    const drainedAt = life.findIndex(({ to }) => to === 'draining');
    for (const { from, to, event } of drainedAt < 0 ? [] : life.slice(drainedAt + 1)) {
      expect([from, to, event.type]).toEqual(['draining', 'reaped', 'worker.gone']);
    }
    for (const { after } of life.filter(({ to }) => to === 'draining')) expect(after.reason).not.toBeNull();
  }
});

test('S3: no worker goes from one org to another but by a reset that it confirmed', () => {
  let resets = 0;
  for (const life of lives) {
    let org: string | null = null;
    for (const { event, after, to } of life) {
      if (event.type === 'worker.reset' && to === 'warm') {
        org = null;
        resets += 1;
      }
      if (after.org === null) expect(org).toBeNull();
      else expect([org ?? after.org]).toEqual([after.org]);
      org = after.org;
    }
  }
  expect(resets).toBeGreaterThan(0);
});

test('S4: a reserved slot is drained by its holder, its lease, its worker, or force, and by no order of the control plane', () => {
  const allowed = new Set(['activation.failed', 'reservation.released', 'reservation.cancelled', 'lease.expired', 'worker.lost']);
  for (const { from, to, event } of lives.flat()) {
    if (to !== 'draining' || (from !== 'reserved.activating' && from !== 'reserved.active')) continue;
    const isForced = event.type === 'drain.ordered' && event.isForced === true;
    expect([event.type, allowed.has(event.type) || isForced]).toEqual([event.type, true]);
  }
});

test('who counts for an org has one; a record stays below its bound, and its worker is the one that said hello', () => {
  for (const { before, after, to } of lives.flat()) {
    if (countsForOrg(to)) expect(after.org).not.toBeNull();
    if (before.instance !== null) expect(after.instance).toBe(before.instance);
    expect(JSON.stringify(after).length).toBeLessThan(RECORD_BYTES_MAX);
  }
});
