import { expect, test } from 'vitest';
import { PrometheusMetrics } from './prometheus-metrics.ts';

test('instruments are exported with their labels, and one name is one instrument', async () => {
  const metrics = new PrometheusMetrics();
  const misses = { name: 'muster_misses_total', help: 'Misses', labels: ['pool', 'reason'] };
  metrics.counter(misses).add({ pool: 'duckdb', reason: 'org-cap' });
  metrics.counter(misses).add({ pool: 'duckdb', reason: 'org-cap' }, 2);
  const slots = metrics.gauge({ name: 'muster_slots', help: 'Slots', labels: ['state'] });
  slots.set(7, { state: 'draining' });
  slots.reset();
  slots.set(5, { state: 'warm' });
  metrics.histogram({ name: 'muster_reserve_seconds', help: 'Latency', buckets: [0.00005, 0.001] }).observe(0.0004);
  const text = await metrics.text();
  expect(text).toContain('muster_misses_total{pool="duckdb",reason="org-cap"} 3');
  expect(text).toContain('muster_slots{state="warm"} 5');
  expect(text).not.toContain('draining');
  expect(text).toContain('muster_reserve_seconds_bucket{le="0.00005"} 0');
  expect(text).toContain('muster_reserve_seconds_bucket{le="0.001"} 1');
  expect(text).toContain('process_resident_memory_bytes');
  expect(metrics.contentType).toContain('text/plain');
});

test('two registries do not know of each other, and one name cannot be two kinds', async () => {
  const one = new PrometheusMetrics();
  const other = new PrometheusMetrics();
  one.counter({ name: 'muster_a_total', help: 'A' }).add();
  expect(await other.text()).not.toContain('muster_a_total');
  expect(() => one.gauge({ name: 'muster_a_total', help: 'A' })).toThrow('muster_a_total is a counter, not a gauge');
});
