import type { Clock } from '@muster/ports';
import { Pace } from '../measure/pace.ts';
import { pause } from '../measure/pause.ts';

export interface OpenLoopOptions {
  readonly clock: Clock;
  readonly perSecond: number;
  /** Under way at once; what is due beyond it is skipped, and counted as offered. */
  readonly inFlightMax: number;
  /** Ends it: nothing more is sent. */
  readonly signal: AbortSignal;
  /** Never rejects. */
  readonly run: (dueMs: number) => Promise<void>;
  readonly due: (dueMs: number, isSkipped: boolean) => void;
}

/** Starts requests when they are due, whatever became of those before. Resolves when the last one is back. */
export async function openLoop(options: OpenLoopOptions): Promise<void> {
  const { clock, perSecond, inFlightMax, signal, run, due } = options;
  const pace = new Pace(perSecond, clock.monotonicMs());
  const underWay = new Set<Promise<void>>();
  for (let n = 0; !signal.aborted; ) {
    for (const dueBy = pace.dueBy(clock.monotonicMs()); n < dueBy; n++) {
      const dueMs = pace.dueMs(n);
      const isSkipped = underWay.size >= inFlightMax;
      due(dueMs, isSkipped);
      if (isSkipped) continue;
      const running = run(dueMs).finally(() => underWay.delete(running));
      underWay.add(running);
    }
    await pause(clock, pace.dueMs(n) - clock.monotonicMs(), signal);
  }
  await Promise.all(underWay);
}
