import { BUDGETS } from '../budgets.ts';
import type { PoolSpec } from '../pool-spec.ts';
import { isHeld, type SlotEvent, type SlotHold, type SlotStateName } from './slot-machine.ts';

/** The clock of one state of a slot: started on entering it, touched by nothing else. */
export interface SlotClock {
  readonly delayMs: number;
  /** `internal` goes on through a takeover; `external` starts again, since another party could have answered. */
  readonly clock: 'internal' | 'external';
  readonly event: SlotEvent;
}

/** The worker has this long to confirm a reset, ms. */
const RESET_MS = 10_000;

/**
 * The clock of a state by itself; undefined where none runs. A lease is not here: it runs through `activating` and
 * `active`, and is renewed. Nor is an activation: it is a task with a time-out of the owner that sent it.
 */
export function slotClock(
  { state, hold }: { readonly state: SlotStateName; readonly hold?: SlotHold },
  spec: PoolSpec,
): SlotClock | undefined {
  switch (state) {
    case 'spawning': {
      const event: SlotEvent = { type: 'spawn.timed-out' };
      if (hold !== undefined && isHeld({ hold })) return { delayMs: BUDGETS.heldMs, clock: 'internal', event };
      // How long ago its hold ended is in no record: after a takeover it has the whole time again.
      return { delayMs: spec.spawnMs, clock: hold === undefined ? 'internal' : 'external', event };
    }
    case 'reserved.parked':
      return { delayMs: spec.parkedTtlMs, clock: 'internal', event: { type: 'parked.expired' } };
    case 'reserved.resetting':
      return { delayMs: RESET_MS, clock: 'external', event: { type: 'reset.failed', detail: `no answer within ${RESET_MS} ms` } };
    case 'warm':
    case 'reserved.activating':
    case 'reserved.active':
    case 'draining':
    case 'reaped':
      return undefined;
  }
}
