import { Queue } from '../queue.ts';

/**
 * Which record of a retained kind is the oldest. A Map knows it too, but skips all that were deleted before it each time.
 */
export class InsertionOrder {
  #ids = new Queue<string>();
  /** Insertions in the queue whose record was deleted since, by id. */
  readonly #stale = new Map<string, number>();

  inserted(id: string): void {
    this.#ids.push(id);
  }

  /** It was deleted by somebody else than `evict`. */
  deleted(id: string, left: { readonly size: number; keys(): Iterable<string> }): void {
    this.#stale.set(id, (this.#stale.get(id) ?? 0) + 1);
    if (this.#ids.length > 64 && this.#ids.length > 2 * left.size) this.rebuild(left.keys());
  }

  /** Forgets the oldest, and says which it was. */
  evict(): string | undefined {
    for (;;) {
      const id = this.#ids.shift();
      if (id === undefined) return undefined;
      const stale = this.#stale.get(id);
      if (stale === undefined) return id;
      if (stale === 1) this.#stale.delete(id);
      else this.#stale.set(id, stale - 1);
    }
  }

  /** Starts anew with these, oldest first. */
  rebuild(ids: Iterable<string>): void {
    this.#ids = new Queue();
    this.#stale.clear();
    for (const id of ids) this.#ids.push(id);
  }
}
