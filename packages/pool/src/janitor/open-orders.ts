import type { Intent } from '../kinds.ts';

/**
 * What has been ordered and is in no cut yet. A part counts as supply until a cut with `intentApplied` at or past it has
 * been seen: so an intent is never counted twice, and never forgotten, whatever is lost or repeated between.
 */
export class OpenOrders {
  readonly #byShard = new Map<string, { readonly n: number; readonly start: number }[]>();

  add(intent: Intent): void {
    for (const [shard, part] of Object.entries(intent.parts)) {
      const open = this.#byShard.get(shard) ?? [];
      open.push({ n: intent.n, start: part.start });
      this.#byShard.set(shard, open);
    }
  }

  /** A cut of the shard has shown that it applied all up to `n`. */
  applied(shard: string, n: number): void {
    const open = this.#byShard.get(shard);
    if (open === undefined) return;
    const left = open.filter((order) => order.n > n);
    if (left.length === 0) this.#byShard.delete(shard);
    else this.#byShard.set(shard, left);
  }

  /** Slots that the shard was told to start and does not show yet. */
  of(shard: string): number {
    return (this.#byShard.get(shard) ?? []).reduce((sum, order) => sum + order.start, 0);
  }
  isOpen(shard: string): boolean {
    return this.#byShard.has(shard);
  }
}
