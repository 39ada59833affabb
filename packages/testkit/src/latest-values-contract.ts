import type { LatestValues } from '@muster/ports';
import { encode } from '@muster/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** What the suite needs of an implementation. */
export interface LatestValuesWorld extends AsyncDisposable {
  readonly latestValues: LatestValues;
  /** What somebody who looks sees; undefined where there is nothing. */
  read(key: string): Promise<Uint8Array | undefined>;
}

/** What every LatestValues promises. */
export function describeLatestValuesContract(name: string, makeWorld: () => Promise<LatestValuesWorld>): void {
  describe(`LatestValues: ${name}`, () => {
    let world: LatestValuesWorld;
    beforeEach(async () => {
      world = await makeWorld();
    });
    afterEach(async () => {
      await world[Symbol.asyncDispose]();
    });
    const read = async (key: string): Promise<string | undefined> => {
      const data = await world.read(key);
      return data === undefined ? undefined : Buffer.from(data).toString();
    };

    test('the last value of a key is there until it is deleted', async () => {
      expect(await read('duckdb-1')).toBeUndefined();
      await world.latestValues.put('duckdb-1', encode(1));
      await world.latestValues.put('duckdb-2', encode('other'));
      await world.latestValues.put('duckdb-1', encode(2));
      expect(await read('duckdb-1')).toBe('2');
      await world.latestValues.delete('duckdb-1');
      await world.latestValues.delete('duckdb-1');
      expect(await read('duckdb-1')).toBeUndefined();
      expect(await read('duckdb-2')).toBe('"other"');
      await world.latestValues.put('duckdb-1', encode(3));
      expect(await read('duckdb-1')).toBe('3');
    });
  });
}
