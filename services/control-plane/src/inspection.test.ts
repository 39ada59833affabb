import { ManualClock, MemoryBus, MemoryMetrics, MemoryNetwork } from '@muster/ports';
import { decode } from '@muster/protocol';
import { expect, test } from 'vitest';
import { Inspection } from './inspection.ts';

const slot = (id: string, state: string, reservation: unknown = null, intent = 1) => ({
  state,
  context: { id, epoch: 1, org: reservation === null ? null : 'acme', reservation, intent },
});

function start() {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  const values: [string, unknown][] = [];
  const metrics = new MemoryMetrics();
  const inspection = new Inspection({
    bus: new MemoryBus({ network, name: 'replica' }),
    values: {
      put: async (key, data) => void values.push([key, decode(data)]),
      delete: async (key) => void values.push([key, null]),
    },
    clock,
    metrics,
  });
  const heard: [string, unknown][] = [];
  new MemoryBus({ network, name: 'reader' }).subscribe('muster.v1.events.>', ({ subject, data }) => heard.push([subject, decode(data)]));
  const inspect = (id: string, state: string, value: unknown = slot(id, state)): void =>
    inspection.inspect({
      shard: 'demo',
      kind: 'slot',
      id,
      state,
      record: value === null ? undefined : { kind: 'slot', id, value, version: 1, changedAtMs: 0, stateSinceMs: 0 },
    });
  return { clock, values, metrics, inspection, heard, inspect };
}

test('every committed transition is shown on its subject, and the latest record of a slot by its key', async () => {
  const { clock, values, heard, inspect } = start();
  inspect('demo-1', 'warm');
  inspect('demo-1', 'reserved.active');
  inspect('demo-2', 'reaped', null);
  await clock.run(1_100);
  expect(heard.map(([subject]) => subject)).toEqual([
    'muster.v1.events.slot.demo-1.warm',
    'muster.v1.events.slot.demo-1.reserved.active',
    'muster.v1.events.slot.demo-2.reaped',
  ]);
  expect(values).toEqual([
    ['demo-1', slot('demo-1', 'reserved.active')],
    ['demo-2', null],
  ]);
});

test('under load events are shed first, and counted; the latest record still comes', async () => {
  const { clock, values, metrics, heard, inspect } = start();
  for (let n = 0; n < 5_000; n += 1) inspect('demo-1', 'warm', slot('demo-1', 'warm', null, n));
  await clock.run(2_000);
  expect(heard.length).toBeLessThan(500);
  expect(metrics.value('muster_inspection_shed_total', { what: 'event' })).toBe(5_000 - heard.length);
  expect(values).toEqual([['demo-1', slot('demo-1', 'warm', null, 4_999)]]);
});

test('a request id is in no event and in no latest record: who repeats it is given the token', async () => {
  const { clock, values, heard, inspect } = start();
  const reservation = { id: 'demo-1_1', requestId: 'the-request-id', ttlMs: 60_000, source: 'warm' };
  inspect('demo-1', 'reserved.activating', slot('demo-1', 'reserved.activating', reservation));
  await clock.run(1_100);
  const shown = slot('demo-1', 'reserved.activating', { id: 'demo-1_1', ttlMs: 60_000, source: 'warm' });
  expect(heard.map(([, event]) => (event as { record: unknown }).record)).toEqual([shown]);
  expect(values).toEqual([['demo-1', shown]]);
});

test('events are taken by the second: a burst is shown whole, and what comes beyond it in the next second again', async () => {
  const { clock, metrics, heard, inspect } = start();
  for (let n = 0; n < 250; n += 1) inspect(`demo-${n}`, 'warm');
  await clock.run(100);
  expect(heard).toHaveLength(200);
  expect(metrics.value('muster_inspection_shed_total', { what: 'event' })).toBe(50);
  await clock.run(1_000);
  inspect('demo-1', 'draining');
  await clock.run(100);
  expect(heard.at(-1)?.[0]).toBe('muster.v1.events.slot.demo-1.draining');
});

test('records are put evenly, a slot at most once a second, each in its turn', async () => {
  const { clock, values, inspect } = start();
  for (let n = 0; n < 30; n += 1) inspect(`demo-${n}`, 'warm');
  await clock.run(100);
  expect(values.map(([key]) => key)).toEqual(Array.from({ length: 20 }, (_, n) => `demo-${n}`));
  for (let ms = 0; ms < 3_000; ms += 50) {
    inspect('demo-0', 'reserved.active');
    await clock.run(50);
  }
  expect(values.filter(([key]) => key === 'demo-29')).toHaveLength(1);
  expect(values.filter(([key]) => key === 'demo-0')).toHaveLength(4);
});
