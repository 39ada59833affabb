// Faults on demand: what is to go wrong, for which requests, and how often.
import type { ApiRequest, User, Verb } from './world.ts';

/** Which requests; what is left out is any. */
export interface FaultMatch {
  readonly verbs?: readonly Verb[];
  /** Plural: `pods`. */
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** Of the one who asks. */
  readonly user?: string;
}

export type Fault =
  /** Nothing is done. 429 answers as recorded: plain text, and `Retry-After`; others a `Status`. */
  | { readonly kind: 'refuse'; readonly status: number; readonly retryAfterSeconds?: number; readonly message?: string }
  /** Waits, then goes on. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Done at once, answered later. */
  | { readonly kind: 'delay-answer'; readonly ms: number }
  /** The connection breaks, nothing is done. */
  | { readonly kind: 'drop' }
  /** Done; the connection breaks before the answer. */
  | { readonly kind: 'lose-answer' }
  /** Nothing is done, and never answered. */
  | { readonly kind: 'hang' }
  /** A list shows the state right after this revision (a watch cache that lags). */
  | { readonly kind: 'stale'; readonly revision: number }
  /** A watch works for so many events; bookmarks do not count. Then: */
  | { readonly kind: 'watch'; readonly afterEvents: number; readonly fate: WatchFault };

export type WatchFault =
  /** it stays open and says nothing more, */
  | 'hang'
  /** it ends in order, */
  | 'end'
  /** its connection breaks between two lines, */
  | 'cut'
  /** or in the middle of one, */
  | 'break'
  /** a line is no JSON, and it goes on, */
  | 'garbage'
  /** or an event says 410, and it ends. */
  | 'expire';

/** A fault that was ordered. */
export interface OrderedFault {
  /** How often it struck. */
  readonly hits: number;
  /** It strikes no more. A watch that hangs already stays so. */
  remove(): void;
}

class Order implements OrderedFault {
  readonly fault: Fault;
  readonly #match: FaultMatch;
  readonly #orders: Set<Order>;
  #left: number;
  hits = 0;

  constructor(match: FaultMatch, fault: Fault, times: number, orders: Set<Order>) {
    this.#match = match;
    this.fault = fault;
    this.#left = times;
    this.#orders = orders;
  }

  meets({ verb, resource, subresource, namespace, name }: ApiRequest, user: User): boolean {
    const { verbs } = this.#match;
    const isSame = (wanted: string | undefined, actual: string): boolean => wanted === undefined || wanted === actual;
    return (
      (verbs === undefined || verbs.includes(verb)) &&
      isSame(this.#match.resource, resource.plural) &&
      isSame(this.#match.subresource, subresource) &&
      isSame(this.#match.namespace, namespace) &&
      isSame(this.#match.name, name) &&
      isSame(this.#match.user, user.name)
    );
  }

  strike(): Fault {
    this.hits += 1;
    this.#left -= 1;
    if (this.#left <= 0) this.remove();
    return this.fault;
  }

  remove(): void {
    this.#orders.delete(this);
  }
}

/** The faults of one double. Of several that meet a request, the one ordered first strikes. */
export class FaultPlan {
  readonly #orders = new Set<Order>();

  /** The next `times` requests that match (default: all) meet this fault. */
  add(match: FaultMatch, fault: Fault, times = Number.POSITIVE_INFINITY): OrderedFault {
    const order = new Order(match, fault, times, this.#orders);
    this.#orders.add(order);
    return order;
  }

  /** Nothing goes wrong any more. */
  clear(): void {
    this.#orders.clear();
  }

  /** The fault that strikes this request, if one does. A watch fault strikes watches only, a stale list lists only. */
  take(request: ApiRequest, user: User): Fault | undefined {
    for (const order of this.#orders) {
      const { kind } = order.fault;
      if ((kind === 'watch' && request.verb !== 'watch') || (kind === 'stale' && request.verb !== 'list')) continue;
      if (order.meets(request, user)) return order.strike();
    }
    return undefined;
  }
}
