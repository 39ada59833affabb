import { ManualClock } from '@muster/ports';
import { describe, expect, it } from 'vitest';
import { ReservationHistory } from '../history/reservation-history.ts';
import { LatencyHistogram } from '../measure/latency-histogram.ts';
import { addGrants } from './grant-log.ts';
import type { LoadShape } from './load-messages.ts';
import { LoadRound } from './load-round.ts';
import type { Held, LoadTarget } from './load-target.ts';

const clock = new ManualClock();

/** Gives a slot a request, with epochs that rise, and releases at once. */
class Slots implements LoadTarget {
  readonly #delayMs: number;
  readonly free: string[];
  readonly epochs = new Map<string, number>();
  asked = 0;
  mostAtOnce = 0;
  #held = 0;

  constructor(slots: number, delayMs = 1) {
    this.#delayMs = delayMs;
    this.free = Array.from({ length: slots }, (_, slot) => `p-${slot}`);
  }

  async reserve(): Promise<Held | undefined> {
    this.asked += 1;
    const slot = this.free.pop();
    if (slot === undefined) return undefined;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#held);
    await new Promise<void>((resolve) => {
      clock.setTimer(this.#delayMs, resolve);
    });
    const epoch = (this.epochs.get(slot) ?? 0) + 1;
    this.epochs.set(slot, epoch);
    return {
      slot,
      epoch,
      release: async () => {
        this.#held -= 1;
        this.free.push(slot);
      },
    };
  }
}

function run(target: LoadTarget, shape: LoadShape, durationMs: number) {
  const orgs = Array.from({ length: shape.clients }, (_, client) => `org-${client}`);
  return clock.resolve(new LoadRound({ clock, target, shape, orgs, startMs: clock.monotonicMs(), warmUpMs: 20, durationMs }).run());
}

describe('LoadRound', () => {
  it('keeps every client of a closed loop at it, and counts what ended within the time', async () => {
    const slots = new Slots(4);
    const result = await run(slots, { kind: 'closed', clients: 4 }, 60);
    expect(slots.mostAtOnce).toBe(4);
    expect([slots.asked, result.cycles]).toEqual([4 * 80, 4 * 60]);
    expect(result.misses + result.errors).toBe(0);
    expect(LatencyHistogram.of(result.cycle).count).toBe(result.cycles);
    const history = new ReservationHistory();
    addGrants(history, 'client', result.grants);
    expect(result.grants.slot).toHaveLength(slots.asked);
    expect(history.check()).toMatchObject({ lost: 0, givenTwice: 0 });
  });

  it('offers an open loop at its rate, and makes what waits for a client wait from when it was due', async () => {
    const result = await run(new Slots(10, 30), { kind: 'open', clients: 1, perSecond: 100, offsetMs: 0 }, 300);
    expect(result.offered).toBe(30);
    // One client that takes 30 ms cannot do 100 a second: the tenth, due after 90 ms, is over after 300.
    expect(LatencyHistogram.of(result.cycle).percentileMs(1)).toBe(210);
  });

  it('asks a burst at once, releases when all are answered, and counts those that got none', async () => {
    const slots = new Slots(5);
    const result = await run(slots, { kind: 'burst', clients: 7 }, 0);
    expect(slots.mostAtOnce).toBe(5);
    expect([result.cycles, result.misses, result.errors]).toEqual([5, 2, 0]);
    expect(result.allAnsweredMs).toBeGreaterThan(0);
    expect(slots.free).toHaveLength(5);
  });

  it('counts what fails, and goes on', async () => {
    let asked = 0;
    const failing: LoadTarget = {
      reserve: () => Promise.reject(new Error(`no ${++asked}`)),
    };
    const result = await run(failing, { kind: 'closed', clients: 1 }, 60);
    expect(result.errors).toBe(asked);
    expect(asked).toBe(8);
    expect(result.errorSamples[0]).toBe('no 1');
  });
});

it('shows a double grant of two processes in one history', async () => {
  const one = await run(new Slots(1), { kind: 'burst', clients: 1 }, 0);
  const other = await run(new Slots(1), { kind: 'burst', clients: 1 }, 0);
  const history = new ReservationHistory();
  addGrants(history, 'client 1', one.grants);
  addGrants(history, 'client 2', structuredClone(other.grants));
  expect(history.check()).toMatchObject({ givenTwice: 1, findings: ['p-0 epoch 1 was given to client 1 0 and to client 2 0'] });
});
