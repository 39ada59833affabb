// Timers that machines set by emitting `timer.set`. They are records of the shard, so that a new owner arms them again.
//
//   E1. A timer belongs to the state in which it was set: leaving it clears the timer, in the same record.
//   E2. A timer that fires is deleted in the turn in which its actor gets the event.
import type { ClockKind, Effect } from '../contract.ts';

/** The kind of record that holds them. */
export const TIMERS_KIND = '_timers';

export interface ActorTimer {
  readonly actor: { readonly kind: string; readonly id: string };
  readonly delayMs: number;
  readonly event: { readonly type: string };
  readonly clock: ClockKind;
}

/** Unique in the shard; neither kinds nor ids have slashes. */
export function timerId(kind: string, id: string, timer: string): string {
  return `${kind}/${id}/${timer}`;
}

export interface NamedActorTimer {
  readonly name: string;
  readonly timer: ActorTimer;
}

/** @throws Error where a machine emitted something else (a defect) */
export function parseTimerSet(actor: ActorTimer['actor'], effect: Effect): NamedActorTimer {
  const {
    timer: name,
    delayMs,
    event,
    clock,
  } = effect as Effect & Readonly<Partial<Record<'timer' | 'delayMs' | 'event' | 'clock', unknown>>>;
  const isEvent = typeof event === 'object' && event !== null && typeof (event as { type?: unknown }).type === 'string';
  if (
    typeof name !== 'string' ||
    typeof delayMs !== 'number' ||
    !(delayMs >= 0) ||
    !isEvent ||
    (clock !== 'internal' && clock !== 'external')
  ) {
    throw new Error(`${actor.kind}/${actor.id}: not a timer: ${JSON.stringify(effect)}`);
  }
  return { name, timer: { actor, delayMs, event: event as ActorTimer['event'], clock } };
}

/** Which timers the actors of a shard have. */
export class ActorTimerIndex {
  readonly #names = new Map<string, Set<string>>();

  add({ kind, id }: ActorTimer['actor'], name: string): void {
    const key = `${kind}/${id}`;
    const names = this.#names.get(key);
    if (names === undefined) this.#names.set(key, new Set([name]));
    else names.add(name);
  }

  /** By the id of its record. */
  remove(timer: string): void {
    const { key, name } = split(timer);
    const names = this.#names.get(key);
    names?.delete(name);
    if (names?.size === 0) this.#names.delete(key);
  }

  of(kind: string, id: string): readonly string[] {
    return this.#names.size === 0 ? NONE : [...(this.#names.get(`${kind}/${id}`) ?? NONE)];
  }
}

const NONE: readonly string[] = [];

/** The parts of a timer's id: whose it is, and its name (which may have slashes). */
export function split(timer: string): { readonly key: string; readonly name: string } {
  const at = timer.indexOf('/', timer.indexOf('/') + 1);
  return { key: timer.slice(0, at), name: timer.slice(at + 1) };
}
