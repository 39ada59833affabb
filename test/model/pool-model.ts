// What a pool promises, without any of how it keeps it: who may be told what, of requests that are under way at once.
//
// A reservation is certainly held from its grant's arrival to the sending of what ends it; in between the model knows
// exactly, outside of that it takes either.
import type { ReserveAnswer } from '@muster/protocol';

/** One request id with what has become of it, as its client knows. */
export interface ModelRequest {
  readonly id: string;
  readonly org: string;
  /** Its reservation, once somebody was told of it. */
  given: { readonly id: string; readonly slot: string; readonly epoch: number } | undefined;
  /** A release, a cancel or a crash of its worker has been sent: it may be over. */
  isEnding: boolean;
  /** One of those has been answered: it is over. */
  isOver: boolean;
}

export class PoolModel {
  readonly requests = new Map<string, ModelRequest>();
  readonly #caps: { readonly pool: number; readonly org: number };
  readonly #newest = new Map<string, number>();

  constructor(caps: { readonly pool: number; readonly org: number }) {
    this.#caps = caps;
  }

  get held(): readonly ModelRequest[] {
    return [...this.requests.values()].filter(({ given, isEnding }) => given !== undefined && !isEnding);
  }

  request(id: string, org: string): ModelRequest {
    const request = this.requests.get(id) ?? { id, org, given: undefined, isEnding: false, isOver: false };
    this.requests.set(id, request);
    return request;
  }

  /** A reserve is answered; `before` is what was known when it was sent. */
  reserved(request: ModelRequest, answer: ReserveAnswer, before: ModelRequest): void {
    if (answer.ok) {
      const { id, slot, epoch, org } = answer.reservation;
      assert(!before.isOver, `${request.id} was over, and was granted again`);
      assert(org === request.org, `${request.id} of ${request.org} got a reservation of ${org}`);
      assert(request.given === undefined || request.given.id === id, `${request.id} got ${request.given?.id} and ${id}`);
      if (request.given !== undefined) return;
      assert((this.#newest.get(slot) ?? 0) < epoch || request.isEnding, `${id} is not newer than epoch ${this.#newest.get(slot)}`);
      const other = request.isEnding ? undefined : this.held.find(({ given }) => given?.slot === slot);
      assert(other === undefined, `${slot} went to ${request.id} while ${other?.id} held it`);
      request.given = { id, slot, epoch };
      this.#newest.set(slot, Math.max(epoch, this.#newest.get(slot) ?? 0));
      assert(this.held.length <= this.#caps.pool, `${this.held.length} are held, the pool's cap is ${this.#caps.pool}`);
      const own = this.held.filter((one) => one.org === org).length;
      assert(own <= this.#caps.org, `${org} holds ${own}, its cap is ${this.#caps.org}`);
    } else if ('miss' in answer) {
      const { given, isEnding } = before;
      assert(given === undefined || isEnding, `${request.id} holds ${given?.id}, and was told ${answer.miss.reason}`);
    } else {
      assert(answer.error.code === 'ended' && request.isEnding, `${request.id}: ${JSON.stringify(answer.error)}`);
      request.isOver = true;
    }
  }

  /** A renewal is answered. */
  renewed(request: ModelRequest, outcome: string): void {
    assert(outcome === 'done' || request.isEnding, `the renewal of ${request.given?.id} found it ${outcome}`);
  }

  /** A release or a cancel is answered: whatever it was, it is over now. */
  ended(request: ModelRequest, outcome: string, isOnly: boolean): void {
    assert(outcome === 'done' || !isOnly, `the end of ${request.id} found it ${outcome}`);
    request.isOver = true;
  }

  /** Nothing is under way: exactly what is held lives. */
  settled(live: readonly string[]): void {
    const held = this.held.map(({ given }) => given?.id);
    assert(sorted(held) === sorted(live), `held are ${sorted(held)}, live are ${sorted(live)}`);
  }
}

function sorted(ids: readonly (string | undefined)[]): string {
  return ids
    .map(String)
    .toSorted((one, other) => one.localeCompare(other))
    .join(' ');
}

function assert(isTrue: boolean, otherwise: string): asserts isTrue {
  if (!isTrue) throw new Error(otherwise);
}
