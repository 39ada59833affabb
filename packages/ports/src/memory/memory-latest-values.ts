import type { LatestValues } from '../latest-values.ts';

/** The latest values in a map that can be looked at. */
export class MemoryLatestValues implements LatestValues {
  readonly #values = new Map<string, Uint8Array>();

  get values(): ReadonlyMap<string, Uint8Array> {
    return this.#values;
  }

  async put(key: string, data: Uint8Array): Promise<void> {
    this.#values.set(key, data);
  }

  async delete(key: string): Promise<void> {
    this.#values.delete(key);
  }
}
