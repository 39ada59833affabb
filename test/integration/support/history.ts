// What was asked and answered while things were killed, and what of it cannot be (guarantees G1, G6, the request ids of 6.3).
//
// A reservation is certainly held from the moment when its grant was received to the moment when its release is first
// sent; what the control plane did before and after is not known, and nothing is said about it.
//   H1. One slot and epoch belong to one reservation, and one reservation to one request.
//   H2. A request has one reservation, however often it was asked.
//   H3. Two reservations of one slot are never certainly held at once.
//   H4. A reservation that is certainly held is never said to have ended.
//   H5. A release finds its reservation, or its own earlier try.
//   H6. A grant of a slot is newer than every grant of it that was received before it was asked for.
//   H7. At the end exactly those reservations live that were granted and not released, and those whose answer is still out.

/** One line of the history; `atMs` on one clock. */
export type HistoryEvent = { readonly atMs: number } & (
  | { readonly type: 'asked'; readonly request: string }
  | { readonly type: 'granted'; readonly request: string; readonly reservation: string; readonly slot: string; readonly epoch: number }
  /** A miss or an error: this request has no reservation. */
  | { readonly type: 'refused'; readonly request: string }
  | { readonly type: 'renewed'; readonly reservation: string; readonly outcome: string }
  | { readonly type: 'lost'; readonly reservation: string; readonly reason: string }
  | { readonly type: 'releasing'; readonly reservation: string }
  | { readonly type: 'released'; readonly reservation: string; readonly outcome: string }
);

/** A reservation that lives, as the cluster shows it. */
export interface LiveReservation {
  readonly reservation: string;
  readonly slot: string;
  readonly epoch: number;
}

type Entry = HistoryEvent extends infer E ? (E extends HistoryEvent ? Omit<E, 'atMs'> : never) : never;

/** The outcome of a renewal or a release that was done. */
export const DONE = 'done';

/** Takes down what happens, in the order in which it does. */
export class History {
  readonly #events: HistoryEvent[] = [];

  note(event: Entry): void {
    this.#events.push({ ...event, atMs: performance.now() });
  }

  get events(): readonly HistoryEvent[] {
    return this.#events;
  }

  count(type: HistoryEvent['type']): number {
    return this.#events.filter((event) => event.type === type).length;
  }

  /** What cannot be; `live` is what the cluster has when nobody asks any more. */
  violations(live: readonly LiveReservation[]): readonly string[] {
    return violationsOf(this.#events, live);
  }
}

interface Held {
  readonly request: string;
  readonly reservation: string;
  readonly slot: string;
  readonly epoch: number;
  readonly askedMs: number;
  readonly fromMs: number;
  untilMs: number;
}

/** Everything in a history that breaks H1 to H7, in words. */
export function violationsOf(events: readonly HistoryEvent[], live: readonly LiveReservation[]): readonly string[] {
  const said: string[] = [];
  const askedMs = new Map<string, number>();
  const settled = new Set<string>();
  const byReservation = new Map<string, Held>();
  const byRequest = new Map<string, Held>();
  const byPlace = new Map<string, Held>();
  const highest = new Map<string, number>();

  for (const event of events) if (event.type === 'granted') highest.set(event.slot, Math.max(event.epoch, highest.get(event.slot) ?? 0));
  for (const event of events) {
    switch (event.type) {
      case 'asked':
        if (!askedMs.has(event.request)) askedMs.set(event.request, event.atMs);
        break;
      case 'refused':
        settled.add(event.request);
        if (byRequest.has(event.request)) said.push(`H2: ${event.request} was refused after it was granted`);
        break;
      case 'granted': {
        settled.add(event.request);
        const { request, reservation, slot, epoch } = event;
        const again = byReservation.get(reservation);
        if (again !== undefined && again.request === request && again.slot === slot && again.epoch === epoch) break;
        const held = {
          request,
          reservation,
          slot,
          epoch,
          askedMs: askedMs.get(request) ?? event.atMs,
          fromMs: event.atMs,
          untilMs: Infinity,
        };
        const place = `${slot} epoch ${epoch}`;
        const other = again ?? byPlace.get(place);
        if (other !== undefined)
          said.push(`H1: ${place} went to ${other.request} (${other.reservation}) and to ${request} (${reservation})`);
        const before = byRequest.get(request);
        if (before !== undefined) said.push(`H2: ${request} got ${before.reservation} and ${reservation}`);
        byReservation.set(reservation, held);
        byRequest.set(request, held);
        byPlace.set(place, held);
        break;
      }
      case 'renewed':
      case 'lost': {
        const held = byReservation.get(event.reservation);
        const ended = event.type === 'lost' ? event.reason : event.outcome;
        if (held !== undefined && held.untilMs === Infinity && ended !== DONE)
          said.push(`H4: ${event.reservation} was held and is said to be ${ended}`);
        break;
      }
      case 'releasing': {
        const held = byReservation.get(event.reservation);
        if (held !== undefined) held.untilMs = Math.min(held.untilMs, event.atMs);
        break;
      }
      case 'released': {
        const held = byReservation.get(event.reservation);
        // Its first try was done and its answer lost; by now the slot may have gone on to the next reservation.
        const isOwnTry =
          event.outcome === 'released' || (event.outcome === 'stale-epoch' && (highest.get(held?.slot ?? '') ?? 0) > (held?.epoch ?? 0));
        if (event.outcome !== DONE && !isOwnTry) said.push(`H5: the release of ${event.reservation} found it ${event.outcome}`);
        break;
      }
    }
  }

  const bySlot = Map.groupBy(byReservation.values(), ({ slot }) => slot);
  for (const [slot, all] of bySlot) {
    const inOrder = all.toSorted((one, other) => one.fromMs - other.fromMs);
    for (const [at, one] of inOrder.entries()) {
      for (const next of inOrder.slice(at + 1)) {
        if (next.fromMs < one.untilMs) said.push(`H3: ${slot} was held by ${one.request} and ${next.request} at once`);
        if (next.askedMs > one.fromMs && next.epoch < one.epoch)
          said.push(`H6: ${slot} epoch ${next.epoch} was given out after epoch ${one.epoch}`);
      }
    }
  }

  const alive = new Set(live.map(({ reservation }) => reservation));
  for (const { reservation, request, untilMs } of byReservation.values()) {
    if (untilMs === Infinity && !alive.has(reservation)) said.push(`H7: ${reservation} of ${request} is gone and was never released`);
  }
  const released = new Set(events.flatMap((event) => (event.type === 'released' ? [event.reservation] : [])));
  const isAnyOpen = [...askedMs.keys()].some((request) => !settled.has(request));
  for (const { reservation } of live) {
    if (released.has(reservation)) said.push(`H7: ${reservation} was released and still lives`);
    if (!byReservation.has(reservation) && !isAnyOpen) said.push(`H7: ${reservation} lives, and nobody was given it`);
  }
  return said;
}
