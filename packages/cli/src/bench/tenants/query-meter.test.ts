import { expect, test } from 'vitest';
import { QueryMeter } from './query-meter.ts';

test('rates and latencies count within the measured time, errors at any time', () => {
  const meter = new QueryMeter();
  meter.due(10, false);
  meter.done(10, 15);
  meter.failed('early');
  meter.measureFrom(100);
  meter.measureUntil(200);
  meter.due(110, false);
  meter.due(120, true);
  meter.due(200, false);
  meter.done(110, 130);
  meter.done(190, 201);
  meter.failed('late');
  expect([meter.offered, meter.skipped, meter.completed, meter.completedBefore, meter.errors]).toEqual([2, 1, 1, 1, 2]);
  expect(meter.latency.percentileMs(1)).toBe(20);
  expect(meter.takeSecond().count).toBe(3);
  expect(meter.takeSecond().count).toBe(0);
});
