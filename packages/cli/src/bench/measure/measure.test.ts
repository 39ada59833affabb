import { ManualClock } from '@muster/ports';
import { describe, expect, it } from 'vitest';
import { LatencyHistogram } from './latency-histogram.ts';
import { medianOf, perSecond, roundTo } from './numbers.ts';
import { Pace } from './pace.ts';
import { pause } from './pause.ts';

describe('LatencyHistogram', () => {
  it('gives percentiles to 1 %, whatever the size of the latencies', () => {
    for (const scale of [0.01, 1, 1_000]) {
      const histogram = new LatencyHistogram();
      for (let value = 1; value <= 1_000; value++) histogram.record(value * scale);
      for (const share of [0.01, 0.5, 0.99]) {
        const exact = share * 1_000 * scale;
        expect(Math.abs((histogram.percentileMs(share) ?? 0) - exact) / exact).toBeLessThan(0.011);
      }
      expect(histogram.percentileMs(1)).toBeCloseTo(1_000 * scale, 3);
    }
  });

  it('never gives more than the longest', () => {
    const histogram = new LatencyHistogram();
    histogram.record(5);
    expect(histogram.percentileMs(0.5)).toBeLessThanOrEqual(5);
    expect(histogram.percentileMs(0.99)).toBeGreaterThan(4.9);
  });

  it('gives null of nothing, and survives what is no latency', () => {
    const histogram = new LatencyHistogram();
    expect(histogram.percentileMs(0.5)).toBeNull();
    histogram.record(0);
    histogram.record(1e12);
    expect(histogram.count).toBe(2);
  });

  it('adds up what several have counted', () => {
    const one = new LatencyHistogram();
    const other = new LatencyHistogram();
    const both = new LatencyHistogram();
    for (let value = 1; value <= 100; value++) {
      (value % 2 === 0 ? one : other).record(value);
      both.record(value);
    }
    const merged = LatencyHistogram.of(structuredClone(one.data()));
    merged.add(other.data());
    expect(merged.data()).toEqual(both.data());
    expect(merged.count).toBe(100);
  });
});

describe('numbers', () => {
  it('takes the middle, without what is missing', () => {
    expect(medianOf([])).toBeNull();
    expect(medianOf([null])).toBeNull();
    expect(medianOf([3, null, 1])).toBe(2);
    expect(medianOf([9, 1, 5])).toBe(5);
  });

  it('counts a second, and rounds', () => {
    expect(perSecond(30, 1_500)).toBe(20);
    expect(perSecond(30, 0)).toBe(0);
    expect(roundTo(1.2345, 2)).toBe(1.23);
    expect(roundTo(null, 2)).toBeNull();
  });
});

describe('Pace', () => {
  it('has each one due at its time, the first at the start', () => {
    const pace = new Pace(30, 1_000);
    expect(pace.dueBy(999)).toBe(0);
    expect(pace.dueBy(1_000)).toBe(1);
    expect(pace.dueMs(30)).toBeCloseTo(2_000);
    expect(pace.dueBy(1_999)).toBe(30);
  });

  it('makes up for what was late: a minute has its number, however it was looked at', () => {
    const pace = new Pace(30, 0);
    let seen = 0;
    for (const nowMs of [100, 101, 5_000, 59_999]) seen += pace.dueBy(nowMs) - seen;
    expect(seen).toBe(30 * 60);
  });
});

describe('pause', () => {
  it('ends at its time, or with its signal', async () => {
    const clock = new ManualClock();
    const done: string[] = [];
    const abort = new AbortController();
    void pause(clock, 100).then(() => done.push('time'));
    void pause(clock, 1_000_000, abort.signal).then(() => done.push('signal'));
    await clock.run(100);
    expect(done).toEqual(['time']);
    abort.abort();
    await pause(clock, 5, abort.signal);
    expect(done).toEqual(['time', 'signal']);
  });
});
