import { expect, test } from 'vitest';
import { MemoryLogger } from './memory-logger.ts';
import { MemoryMetrics } from './memory-metrics.ts';
import { SeededRandom } from './seeded-random.ts';

test('the same seed gives the same numbers and ids, another seed others', () => {
  const draw = (seed: number) => {
    const random = new SeededRandom(seed);
    return [random.next(), random.next(), random.id(), random.id(8)];
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  expect(draw(1)).not.toEqual(draw(1 + 2 ** 32));
});

test('seeded numbers are spread evenly over [0, 1)', () => {
  const random = new SeededRandom(42);
  const buckets = Array<number>(10).fill(0);
  for (let at = 0; at < 10_000; at++) {
    const value = random.next();
    expect(value).toBeGreaterThanOrEqual(0);
    expect(value).toBeLessThan(1);
    const bucket = Math.floor(value * 10);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  expect(Math.min(...buckets)).toBeGreaterThan(900);
  expect(random.id(5)).toMatch(/^[0-9a-z]{5}$/);
});

test('a logger keeps the last lines, and its children write into the same ones with their fields', () => {
  const logger = new MemoryLogger({ linesMax: 10, fields: { replica: 'r1' } });
  logger.child({ shard: 's1' }).warn({ slot: 'x' }, 'said');
  expect(logger.lines).toEqual([{ level: 'warn', message: 'said', fields: { replica: 'r1', shard: 's1', slot: 'x' } }]);
  for (let at = 0; at < 100; at++) logger.info({ at }, 'counted');
  expect(logger.lines.length).toBeLessThanOrEqual(10);
  expect(logger.lines.at(-1)?.fields['at']).toBe(99);
});

test('metrics can be read back, by their labels or in all', () => {
  const metrics = new MemoryMetrics();
  const options = { name: 'muster_misses_total', help: 'Misses.', labels: ['pool', 'reason'] };
  metrics.counter(options).add({ pool: 'duckdb', reason: 'org-cap' });
  metrics.counter(options).add({ reason: 'pool-cap', pool: 'duckdb' }, 2);
  expect(metrics.value(options.name, { pool: 'duckdb', reason: 'pool-cap' })).toBe(2);
  expect(metrics.value(options.name)).toBe(3);
  expect(metrics.value('muster_unknown')).toBe(0);
  const gauge = metrics.gauge({ name: 'muster_slots', help: 'Slots.', labels: ['state'] });
  gauge.set(5, { state: 'warm' });
  gauge.reset();
  gauge.set(1, { state: 'reserved' });
  expect([metrics.value('muster_slots'), metrics.value('muster_slots', { state: 'warm' })]).toEqual([1, 0]);
  const histogram = metrics.histogram({ name: 'muster_reserve_seconds', help: 'Reserves.', buckets: [0.001] });
  histogram.observe(0.5);
  histogram.observe(0.25);
  expect(metrics.distribution('muster_reserve_seconds')).toEqual({ count: 2, sum: 0.75, max: 0.5 });
});

test('a label that was not declared, a counter that shrinks, or one name for two kinds is a defect', () => {
  const metrics = new MemoryMetrics();
  const counter = metrics.counter({ name: 'c', help: '', labels: ['pool'] });
  expect(() => counter.add({ org: 'acme' })).toThrow('no label org');
  expect(() => counter.add({}, -1)).toThrow('counter');
  expect(() => metrics.gauge({ name: 'c', help: '' })).toThrow('is a counter');
});
