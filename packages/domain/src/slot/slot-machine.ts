// The life of one worker: the one description of it. The runtime runs this machine, the tests walk it, the docs draw it.
//
// Invariants:
//   S1. A slot has at most one reservation, and each has a higher epoch than the one before.
//   S2. `reaped` is reached from `draining` only, and only by the news that the worker is gone.
//   S3. A slot that belonged to an org is warm again only through `resetting` and a confirmed reset.
//   S4. A reserved slot (activating, active) is never drained by an order of the control plane without `isForced`.
import { assign, emit, setup } from 'xstate';
import type { RecyclePolicy } from '../pool-spec.ts';

/** Why a reservation or a slot ended. */
export type EndReason =
  | 'released'
  | 'cancelled'
  | 'lease-expired'
  | 'worker-lost'
  | 'activation-failed'
  | 'spawn-failed'
  | 'spawn-timed-out'
  | 'scale-down'
  | 'old-template'
  | 'parked-expired'
  | 'make-room'
  | 'reset-failed'
  | 'silent'
  | 'drained-by-hand'
  | 'pool-removed'
  | 'quarantined';

export interface SlotReservation {
  readonly id: string;
  readonly requestId: string;
  readonly ttlMs: number;
  /** How it was granted, for the same answer again. */
  readonly source: 'warm' | 'parked' | 'waited';
}

/** The cluster has no room for the worker: its slot waits, is not replaced, and counts for no breaker (DESIGN 7.2). */
export interface SlotHold {
  readonly reason: string;
  /** It has room by now: from here on it has the whole time that a spawn may take. */
  readonly isOver: boolean;
}

export interface SlotHandle {
  readonly host?: string;
  readonly pid?: number;
  readonly startTime?: string;
  readonly podUid?: string;
}

/** The record of a slot, next to its state (DESIGN 5). */
export interface SlotContext {
  readonly id: string;
  readonly pool: string;
  readonly shard: string;
  /** Of the newest reservation; 0 before the first. */
  readonly epoch: number;
  readonly templateHash: string;
  /** The intent that made it. */
  readonly intent: number;
  readonly host: string | null;
  readonly handle: SlotHandle | null;
  readonly instance: string | null;
  readonly endpoint: string | null;
  /** Whose it is, or was last when it is draining. */
  readonly org: string | null;
  readonly reservation: SlotReservation | null;
  /** How its newest reservation ended, once it has. */
  readonly lastEnd: { readonly epoch: number; readonly reason: EndReason } | null;
  /** Why it is draining, and in what words. */
  readonly reason: EndReason | null;
  readonly detail: string | null;
  /** Absent: it never had to wait for room. */
  readonly hold?: SlotHold;
}

export interface SlotInput {
  readonly id: string;
  readonly pool: string;
  readonly shard: string;
  readonly templateHash: string;
  readonly intent: number;
  readonly host: string | null;
}

export type SlotEvent =
  | { readonly type: 'worker.created'; readonly handle: SlotHandle }
  | { readonly type: 'worker.ready'; readonly instance: string; readonly endpoint: string }
  | { readonly type: 'worker.held'; readonly detail: string }
  | { readonly type: 'worker.placed' }
  | { readonly type: 'spawn.failed'; readonly detail: string }
  | { readonly type: 'spawn.timed-out' }
  | {
      readonly type: 'slot.reserved';
      readonly org: string;
      readonly requestId: string;
      readonly ttlMs: number;
      readonly source: SlotReservation['source'];
    }
  | { readonly type: 'worker.activated'; readonly endpoint?: string }
  | { readonly type: 'activation.failed'; readonly detail: string }
  | { readonly type: 'reservation.released'; readonly recycle: RecyclePolicy }
  | { readonly type: 'reservation.cancelled' }
  | { readonly type: 'lease.expired' }
  | { readonly type: 'parked.expired' }
  | { readonly type: 'worker.reset' }
  | { readonly type: 'reset.failed'; readonly detail: string }
  | { readonly type: 'worker.lost'; readonly detail: string }
  | { readonly type: 'drain.ordered'; readonly reason: EndReason; readonly isForced?: boolean }
  | { readonly type: 'worker.gone' };

/** What a slot wants done; each is also implied by the state it enters (`impliedEffect`). */
export type SlotEffect =
  | { readonly type: 'worker.start' }
  | { readonly type: 'worker.activate' }
  | { readonly type: 'worker.release' }
  | { readonly type: 'worker.reset' }
  | { readonly type: 'worker.stop' };

/** The leaf states, as `slotStateName` gives them. */
export const SLOT_STATES = [
  'spawning',
  'warm',
  'reserved.activating',
  'reserved.active',
  'reserved.parked',
  'reserved.resetting',
  'draining',
  'reaped',
] as const;
export type SlotStateName = (typeof SLOT_STATES)[number];

/** The cluster has no room for its worker now. */
export function isHeld(slot: Pick<SlotContext, 'hold'>): boolean {
  return slot.hold !== undefined && !slot.hold.isOver;
}

/** Of what others say (a worker, a driver), so much is kept: a slot's record is small whatever they say. */
export const DETAIL_CHARS_MAX = 200;
const cut = (words: string): string => words.slice(0, DETAIL_CHARS_MAX);

const none = { org: null, reservation: null } as const;

/** The machine. Time, ids and policies arrive inside its events. */
export const slotMachine = setup({
  types: {
    context: {} as SlotContext,
    events: {} as SlotEvent,
    emitted: {} as SlotEffect,
    input: {} as SlotInput,
  },
  guards: {
    isSameOrg: ({ context, event }) => event.type === 'slot.reserved' && event.org === context.org,
    hasRoom: ({ context }) => !isHeld(context),
    isHeld: ({ context }) => isHeld(context),
    isForced: ({ event }) => event.type === 'drain.ordered' && event.isForced === true,
    keepsWorker: ({ event }) => event.type === 'reservation.released' && event.recycle === 'same-org',
    resetsWorker: ({ event }) => event.type === 'reservation.released' && event.recycle === 'shared',
  },
  actions: {
    reserve: assign(({ context, event }) => {
      if (event.type !== 'slot.reserved') return {};
      const epoch = context.epoch + 1;
      const { org, requestId, ttlMs, source } = event;
      return { epoch, org, reservation: { id: `${context.id}_${epoch}`, requestId, ttlMs, source }, lastEnd: null };
    }),
    /** The reservation is over; the org stays for as long as the worker holds what is the org's. */
    endReservation: assign(({ context }, params: { reason: EndReason }) =>
      context.reservation === null ? {} : { reservation: null, lastEnd: { epoch: context.epoch, reason: params.reason } },
    ),
    say: assign((_, params: { reason: EndReason; detail?: string }) => ({
      reason: params.reason,
      detail: params.detail === undefined ? null : cut(params.detail),
    })),
    orders: assign(({ event }) => (event.type === 'drain.ordered' ? { reason: event.reason, detail: null } : {})),
    endAsOrdered: assign(({ context, event }) =>
      context.reservation === null || event.type !== 'drain.ordered'
        ? {}
        : { reservation: null, lastEnd: { epoch: context.epoch, reason: event.reason } },
    ),
    introduce: assign(({ event }) => (event.type === 'worker.ready' ? { instance: event.instance, endpoint: event.endpoint } : {})),
    hold: assign(({ event }) => (event.type === 'worker.held' ? { hold: { reason: cut(event.detail), isOver: false } } : {})),
    endHold: assign(({ context }) => (context.hold === undefined ? {} : { hold: { ...context.hold, isOver: true } })),
    remember: assign(({ event }) => (event.type === 'worker.created' ? { handle: event.handle } : {})),
    readdress: assign(({ event }) =>
      event.type === 'worker.activated' && event.endpoint !== undefined ? { endpoint: event.endpoint } : {},
    ),
    forgetOrg: assign(none),
    want: emit((_, params: SlotEffect) => params),
  },
}).createMachine({
  id: 'slot',
  context: ({ input }) => ({
    ...input,
    epoch: 0,
    handle: null,
    instance: null,
    endpoint: null,
    org: null,
    reservation: null,
    lastEnd: null,
    reason: null,
    detail: null,
  }),
  initial: 'spawning',
  states: {
    spawning: {
      entry: { type: 'want', params: { type: 'worker.start' } },
      on: {
        'worker.created': { actions: 'remember' },
        'worker.held': { guard: 'hasRoom', actions: 'hold' },
        'worker.placed': { guard: 'isHeld', actions: 'endHold' },
        'worker.ready': { target: 'warm', actions: 'introduce' },
        'spawn.failed': {
          target: 'draining',
          actions: { type: 'say', params: ({ event }) => ({ reason: 'spawn-failed', detail: event.detail }) },
        },
        'spawn.timed-out': {
          target: 'draining',
          actions: {
            type: 'say',
            params: ({ context }) => ({
              reason: 'spawn-timed-out',
              ...(isHeld(context) && context.hold !== undefined ? { detail: context.hold.reason } : {}),
            }),
          },
        },
        'worker.lost': {
          target: 'draining',
          actions: { type: 'say', params: ({ event }) => ({ reason: 'spawn-failed', detail: event.detail }) },
        },
        'drain.ordered': { target: 'draining', actions: 'orders' },
      },
    },
    warm: {
      on: {
        'worker.created': { actions: 'remember' },
        'slot.reserved': { target: 'reserved.activating', actions: 'reserve' },
        'worker.lost': {
          target: 'draining',
          actions: { type: 'say', params: ({ event }) => ({ reason: 'worker-lost', detail: event.detail }) },
        },
        'drain.ordered': { target: 'draining', actions: 'orders' },
      },
    },
    reserved: {
      initial: 'activating',
      on: {
        'worker.created': { actions: 'remember' },
        'worker.lost': {
          target: 'draining',
          actions: [
            { type: 'endReservation', params: { reason: 'worker-lost' } },
            { type: 'say', params: ({ event }) => ({ reason: 'worker-lost', detail: event.detail }) },
          ],
        },
        'drain.ordered': { guard: 'isForced', target: 'draining', actions: ['endAsOrdered', 'orders'] },
      },
      states: {
        activating: {
          entry: { type: 'want', params: { type: 'worker.activate' } },
          on: {
            'worker.activated': { target: 'active', actions: 'readdress' },
            'activation.failed': {
              target: '#slot.draining',
              actions: [
                { type: 'endReservation', params: { reason: 'activation-failed' } },
                { type: 'say', params: ({ event }) => ({ reason: 'activation-failed', detail: event.detail }) },
              ],
            },
            // What the worker has done by now is not known: it serves nobody any more.
            'reservation.released': {
              target: '#slot.draining',
              actions: [
                { type: 'endReservation', params: { reason: 'released' } },
                { type: 'say', params: { reason: 'released' } },
              ],
            },
            'reservation.cancelled': {
              target: '#slot.draining',
              actions: [
                { type: 'endReservation', params: { reason: 'cancelled' } },
                { type: 'say', params: { reason: 'cancelled' } },
              ],
            },
            'lease.expired': {
              target: '#slot.draining',
              actions: [
                { type: 'endReservation', params: { reason: 'lease-expired' } },
                { type: 'say', params: { reason: 'lease-expired' } },
              ],
            },
          },
        },
        active: {
          on: {
            'reservation.released': [
              { guard: 'keepsWorker', target: 'parked', actions: { type: 'endReservation', params: { reason: 'released' } } },
              { guard: 'resetsWorker', target: 'resetting', actions: { type: 'endReservation', params: { reason: 'released' } } },
              {
                target: '#slot.draining',
                actions: [
                  { type: 'endReservation', params: { reason: 'released' } },
                  { type: 'say', params: { reason: 'released' } },
                ],
              },
            ],
            'reservation.cancelled': {
              target: '#slot.draining',
              actions: [
                { type: 'endReservation', params: { reason: 'cancelled' } },
                { type: 'say', params: { reason: 'cancelled' } },
              ],
            },
            'lease.expired': {
              target: '#slot.draining',
              actions: [
                { type: 'endReservation', params: { reason: 'lease-expired' } },
                { type: 'say', params: { reason: 'lease-expired' } },
              ],
            },
          },
        },
        parked: {
          entry: { type: 'want', params: { type: 'worker.release' } },
          on: {
            'slot.reserved': { guard: 'isSameOrg', target: 'activating', actions: 'reserve' },
            'parked.expired': { target: '#slot.draining', actions: { type: 'say', params: { reason: 'parked-expired' } } },
            'drain.ordered': { target: '#slot.draining', actions: 'orders' },
          },
        },
        resetting: {
          entry: { type: 'want', params: { type: 'worker.reset' } },
          on: {
            'worker.reset': { target: '#slot.warm', actions: 'forgetOrg' },
            'reset.failed': {
              target: '#slot.draining',
              actions: { type: 'say', params: ({ event }) => ({ reason: 'reset-failed', detail: event.detail }) },
            },
            'drain.ordered': { target: '#slot.draining', actions: 'orders' },
          },
        },
      },
    },
    draining: {
      entry: { type: 'want', params: { type: 'worker.stop' } },
      on: { 'worker.created': { actions: 'remember' }, 'worker.gone': 'reaped' },
    },
    reaped: { type: 'final' },
  },
});

/** The states inside `reserved`, by their own name. */
const RESERVED: Readonly<Record<string, SlotStateName>> = {
  activating: 'reserved.activating',
  active: 'reserved.active',
  parked: 'reserved.parked',
  resetting: 'reserved.resetting',
};
const OUTER: ReadonlySet<string> = new Set(SLOT_STATES.filter((state) => !state.includes('.')));

/** `reserved.active` and the like, of a state value as XState writes it. @throws Error for what is no state of a slot */
export function slotStateName(value: unknown): SlotStateName {
  if (typeof value === 'string' && OUTER.has(value)) return value as SlotStateName;
  const inner = (value as { readonly reserved?: unknown } | null | undefined)?.reserved;
  const name = typeof inner === 'string' && Object.hasOwn(RESERVED, inner) ? RESERVED[inner] : undefined;
  if (name === undefined) throw new Error(`${JSON.stringify(value)} is not a state of a slot`);
  return name;
}

const IMPLIED: Readonly<Partial<Record<SlotStateName, SlotEffect['type']>>> = {
  spawning: 'worker.start',
  'reserved.activating': 'worker.activate',
  'reserved.parked': 'worker.release',
  'reserved.resetting': 'worker.reset',
  draining: 'worker.stop',
};

/** What a slot in this state wants done, for a new owner that does not know how far it had come. */
export function impliedEffect(state: SlotStateName): SlotEffect['type'] | undefined {
  return IMPLIED[state];
}

/** Counts in its org's cap: the org has it, or could have it back. */
export function countsForOrg(state: SlotStateName): boolean {
  return state === 'reserved.activating' || state === 'reserved.active' || state === 'reserved.parked';
}
