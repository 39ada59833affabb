import { ManualClock } from '@muster/ports';
import { expect, it } from 'vitest';
import { LoopWatch } from './loop-watch.ts';
import { Timers } from './timers.ts';

function makeTimers() {
  const clock = new ManualClock();
  const watch = new LoopWatch(clock, 750);
  const tick = (): void => {
    watch.observe();
    clock.setTimer(100, tick);
  };
  tick();
  const fired: (string | number)[] = [];
  const timers = new Timers<string>({ clock, lostMs: () => watch.lost(), run: (fire) => fired.push(fire, clock.monotonicMs()) });
  return { clock, fired, timers };
}

it('fires in order of due time, each once', () => {
  const { clock, fired, timers } = makeTimers();
  timers.set('late', 50, 'internal', 'late');
  timers.set('early', 10, 'external', 'early');
  clock.advance(200);
  expect(fired).toEqual(['early', 10, 'late', 50]);
});

it('does not fire what was cleared or set anew (T1)', () => {
  const { clock, fired, timers } = makeTimers();
  timers.set('one', 10, 'internal', 'first');
  timers.set('one', 30, 'external', 'second');
  timers.set('two', 10, 'external', 'never');
  timers.clear('two');
  clock.advance(200);
  expect(fired).toEqual(['second', 30]);
});

it('fires nothing while paused; internal time goes on meanwhile, external does not (T2, T3)', () => {
  const { clock, fired, timers } = makeTimers();
  timers.set('internal', 1_000, 'internal', 'internal');
  timers.set('external', 1_000, 'external', 'external');
  clock.advance(400);
  timers.setPaused(true);
  clock.advance(5_000);
  expect(fired).toEqual([]);
  timers.setPaused(false);
  clock.advance(5_000);
  expect(fired).toEqual(['internal', 5_400, 'external', 6_000]);
});

it('does not age external timers while the process does not run (T3)', () => {
  const { clock, fired, timers } = makeTimers();
  timers.set('internal', 1_000, 'internal', 'internal');
  timers.set('external', 1_000, 'external', 'external');
  clock.advance(400);
  clock.jump(5_000);
  clock.advance(5_000);
  expect(fired[0]).toBe('internal');
  expect(fired[1]).toBeLessThanOrEqual(5_500);
  expect(fired[2]).toBe('external');
  expect(fired[3]).toBeGreaterThanOrEqual(5_900);
});

it('counts a gap inside a pause once (T3)', () => {
  const { clock, fired, timers } = makeTimers();
  timers.set('external', 1_000, 'external', 'external');
  clock.advance(400);
  timers.setPaused(true);
  clock.jump(3_000);
  clock.advance(100);
  timers.setPaused(false);
  clock.advance(2_000);
  expect(fired).toEqual(['external', 4_100]);
});

it('fires nothing after close, and survives thousands that are set and cleared', () => {
  const { clock, fired, timers } = makeTimers();
  for (let n = 0; n < 5_000; n++) timers.set(`t${n % 10}`, 1_000 + n, 'internal', `t${n % 10}`);
  clock.advance(10_000);
  expect(fired).toHaveLength(20);
  timers.set('last', 10, 'internal', 'last');
  timers.close();
  clock.advance(1_000);
  expect(fired).toHaveLength(20);
});
