// What was asked and answered while things were killed: every line with its moment, to be kept, and judged at the end.
import { type Caps, DONE, type Intended, type LiveReservation, ReservationHistory } from '@muster/cli';

/** One line of the history; `atMs` on one clock. */
export type HistoryEvent = { readonly atMs: number } & (
  | { readonly type: 'asked'; readonly request: string; readonly pool?: string; readonly org?: string }
  | { readonly type: 'granted'; readonly request: string; readonly slot: string; readonly epoch: number }
  /** A miss, an error, or a cancel that was answered: this request has no reservation. */
  | { readonly type: 'refused'; readonly request: string; readonly reason?: string }
  /** Whoever asked has given up; the request may have a reservation. */
  | { readonly type: 'unknown'; readonly request: string }
  | ({ readonly type: 'renewed' | 'released'; readonly outcome: string } & LiveReservation)
  | ({ readonly type: 'lost'; readonly reason: string } & LiveReservation)
  | ({ readonly type: 'releasing' } & LiveReservation)
  /** Its holder has gone without a word; the lease has to end it. */
  | ({ readonly type: 'abandoned' } & LiveReservation)
  | { readonly type: 'foreign'; readonly request: string; readonly what: string }
  | { readonly type: 'worker-killed'; readonly slot: string }
  | { readonly type: 'fault'; readonly fault: string; readonly what: string }
  | { readonly type: 'seen'; readonly pool: string; readonly alive: number }
);

type Entry = HistoryEvent extends infer E ? (E extends HistoryEvent ? Omit<E, 'atMs'> : never) : never;

/** What is known when nobody asks any more. */
export interface TheEnd {
  /** What the cluster has. */
  readonly live: readonly LiveReservation[];
  readonly intents?: readonly Intended[];
  readonly caps?: Caps;
}

/** Takes down what happens, in the order in which it does. */
export class History {
  readonly #events: HistoryEvent[] = [];

  note(event: Entry): void {
    this.#events.push({ ...event, atMs: performance.timeOrigin + performance.now() });
  }

  get events(): readonly HistoryEvent[] {
    return this.#events;
  }

  count(type: HistoryEvent['type']): number {
    return this.#events.filter((event) => event.type === type).length;
  }

  /** What cannot be. */
  violations(end: TheEnd): readonly string[] {
    return violationsOf(this.#events, end);
  }
}

/** Everything in a history that breaks one of its rules, in words, the rule first. */
export function violationsOf(events: readonly HistoryEvent[], { live, intents = [], caps = {} }: TheEnd): readonly string[] {
  const history = new ReservationHistory(caps);
  for (const event of events) tell(history, event);
  for (const intent of intents) history.intended(intent);
  return history.violations(live).map(({ rule, what }) => `${rule}: ${what}`);
}

function tell(history: ReservationHistory, event: HistoryEvent): void {
  const { atMs } = event;
  switch (event.type) {
    case 'asked':
      return history.asked(event.request, atMs, event);
    case 'granted':
      return history.granted({ slot: event.slot, epoch: event.epoch, holder: event.request, atMs });
    case 'refused':
      return history.refused(event.request, atMs);
    case 'renewed':
      return event.outcome === DONE ? undefined : history.lost(event, event.outcome, atMs);
    case 'lost':
      return history.lost(event, event.reason, atMs);
    case 'releasing':
      return history.releasing(event, atMs);
    case 'abandoned':
      history.releasing(event, atMs);
      return history.released(event, DONE, atMs);
    case 'released':
      return history.released(event, event.outcome, atMs);
    case 'foreign':
      return history.sawForeignData(event.request, event.what);
    case 'worker-killed':
      return history.workerKilled(event.slot, atMs);
    case 'seen':
      return history.saw(event.pool, event.alive);
    case 'unknown':
    case 'fault':
      return;
  }
}
