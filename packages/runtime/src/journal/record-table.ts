import { InsertionOrder } from './insertion-order.ts';

/**
 * The records of one kind, in order of insertion. Where it is retained only the newest are kept, at every step: owner and
 * followers use this same table, so they keep the same ones.
 */
export class RecordTable<T> {
  readonly #records = new Map<string, T>();
  #order: InsertionOrder | undefined;
  #retain: number | undefined;

  get size(): number {
    return this.#records.size;
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  has(id: string): boolean {
    return this.#records.has(id);
  }

  entries(): IterableIterator<[string, T]> {
    return this.#records.entries();
  }

  values(): IterableIterator<T> {
    return this.#records.values();
  }

  /** A record that is there stays where it is in the order. */
  set(id: string, record: T): void {
    const isNew = this.#order !== undefined && !this.#records.has(id);
    this.#records.set(id, record);
    if (!isNew) return;
    this.#order?.inserted(id);
    this.#evict();
  }

  delete(id: string): void {
    if (this.#records.delete(id)) this.#order?.deleted(id, this.#records);
  }

  /** How many are kept from now on; undefined: all. */
  retain(count: number | undefined): void {
    this.#retain = count;
    if (count === undefined) {
      this.#order = undefined;
      return;
    }
    if (this.#order === undefined) {
      this.#order = new InsertionOrder();
      this.#order.rebuild(this.#records.keys());
    }
    this.#evict();
  }

  #evict(): void {
    while (this.#retain !== undefined && this.#records.size > this.#retain) {
      const oldest = this.#order?.evict();
      if (oldest === undefined) return;
      this.#records.delete(oldest);
    }
  }
}
