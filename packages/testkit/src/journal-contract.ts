import type { AppendOutcome, Journal, JournalMessage } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from './eventually.ts';

/** What the suite needs of an implementation: the journals of several processes on one fresh server. */
export interface JournalWorld extends AsyncDisposable {
  open(name: string): Promise<Journal>;
  /** Breaks the link of this journal's process; resolves when it knows. */
  cut(journal: Journal): Promise<void>;
  /** Resolves when it is connected again. */
  mend(journal: Journal): Promise<void>;
}

/** What a follower was given, as values. */
export interface Followed {
  readonly records: JournalMessage[];
  readonly values: unknown[];
  readonly resets: string[];
  caughtUp: number;
}

const TIMEOUT_MS = 20_000;

/** Keeps everything that a follower is given. */
export async function followAll(journal: Journal): Promise<Followed & { unsubscribe(): void }> {
  const followed: Followed = { records: [], values: [], resets: [], caughtUp: 0 };
  const subscription = await journal.follow({
    message: (message) => {
      followed.records.push(message);
      followed.values.push(decode(message.data));
    },
    reset: (reason) => {
      followed.resets.push(reason);
      followed.records.length = 0;
      followed.values.length = 0;
    },
    caughtUp: () => {
      followed.caughtUp += 1;
    },
  });
  return Object.assign(followed, { unsubscribe: () => subscription.unsubscribe() });
}

/** Appends a value; the position is what it gives. @throws Error where it is not stored */
export async function appendValue(journal: Journal, shard: string, value: unknown, expectedSeq: number, rollup = false): Promise<number> {
  const outcome = await journal.append(shard, encode(value), { expectedSeq, rollup, timeoutMs: TIMEOUT_MS });
  if (outcome.kind !== 'stored') throw new Error(`${shard} after ${expectedSeq}: ${JSON.stringify(outcome)}`);
  return outcome.seq;
}

/** Asks again until the server answers: one that stands still for seconds does not. */
async function answered<T>(ask: () => Promise<T>): Promise<T> {
  const { answer } = await eventually(async () => ({ answer: await ask() }));
  return answer;
}

/** What every Journal promises. */
export function describeJournalContract(name: string, makeWorld: () => Promise<JournalWorld>): void {
  describe(`Journal: ${name}`, () => {
    let world: JournalWorld;
    let one: Journal;
    let other: Journal;

    beforeEach(async () => {
      world = await makeWorld();
      one = await world.open('one');
      other = await world.open('other');
    });
    afterEach(async () => {
      await world[Symbol.asyncDispose]();
    });

    const tryAppend = (journal: Journal, shard: string, value: unknown, expectedSeq: number, rollup = false): Promise<AppendOutcome> =>
      journal.append(shard, encode(value), { expectedSeq, rollup, timeoutMs: TIMEOUT_MS });

    test('a record lands only behind the last one of its shard', async () => {
      const first = await appendValue(one, 'a', 1, 0);
      expect(await tryAppend(other, 'a', 'stale', 0)).toEqual({ kind: 'conflict' });
      const second = await appendValue(other, 'a', 2, first);
      expect(second).toBeGreaterThan(first);
      expect(await tryAppend(one, 'a', 'stale', first)).toEqual({ kind: 'conflict' });
      expect(await tryAppend(one, 'a', 'from the future', second + 1)).toEqual({ kind: 'conflict' });
      expect((await answered(() => one.last('a')))?.seq).toBe(second);
    });

    test('shards do not disturb each other, and share one sequence', async () => {
      const a = await appendValue(one, 'a', 1, 0);
      const b = await appendValue(other, 'b', 1, 0);
      expect(b).toBeGreaterThan(a);
      expect(await appendValue(one, 'a', 2, a)).toBeGreaterThan(b);
    });

    test('of many that want the same position exactly one gets it', async () => {
      let expectedSeq = 0;
      for (let round = 0; round < 10; round++) {
        const outcomes = await Promise.all(
          Array.from({ length: 8 }, (_, racer) => tryAppend(racer % 2 === 0 ? one : other, 'race', racer, expectedSeq)),
        );
        const won = outcomes.filter((outcome) => outcome.kind === 'stored');
        expect(won).toHaveLength(1);
        expect(outcomes.filter((outcome) => outcome.kind === 'unknown')).toEqual([]);
        expectedSeq = won[0]?.seq ?? 0;
      }
    });

    test('a rollup replaces what is before it on its shard, and only where it lands', async () => {
      const a1 = await appendValue(one, 'a', 'a1', 0);
      const b1 = await appendValue(one, 'b', 'b1', 0);
      const a2 = await appendValue(one, 'a', 'a2', a1);
      expect(await tryAppend(other, 'a', 'stale', a1, true)).toEqual({ kind: 'conflict' });
      expect((await answered(() => one.next('a', 0)))?.seq).toBe(a1);
      const rollup = await appendValue(one, 'a', 'all', a2, true);
      expect((await answered(() => one.next('a', 0)))?.seq).toBe(rollup);
      expect((await answered(() => one.next('b', 0)))?.seq).toBe(b1);
      const after = await appendValue(other, 'a', 'more', rollup);
      const followed = await followAll(other);
      await eventually(() => expect(followed.records.map(({ seq }) => seq)).toEqual([b1, rollup, after]));
    });

    test('records are read back one by one, with their bytes and time', async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
      expect(await answered(() => one.last('r'))).toBeUndefined();
      expect(await answered(() => one.next('r', 0))).toBeUndefined();
      const outcome = await one.append('r', bytes, { expectedSeq: 0, timeoutMs: TIMEOUT_MS });
      const first = outcome.kind === 'stored' ? outcome.seq : 0;
      const second = await appendValue(one, 'r', 2, first);
      const read = await answered(() => other.next('r', 0));
      expect(read).toMatchObject({ shard: 'r', seq: first });
      expect(Array.from(read?.data ?? [])).toEqual(Array.from(bytes));
      const last = await answered(() => other.last('r'));
      expect(last).toMatchObject({ shard: 'r', seq: second });
      expect(last?.timeMs).toBeGreaterThanOrEqual(read?.timeMs ?? Number.POSITIVE_INFINITY);
      expect((await answered(() => other.next('r', first + 1)))?.seq).toBe(second);
      expect(await answered(() => other.next('r', second + 1))).toBeUndefined();
    });

    test('the largest record is stored, one byte more is not', async () => {
      const largest = new Uint8Array(one.recordBytesMax).fill(65);
      const options = { expectedSeq: 0, rollup: true, timeoutMs: TIMEOUT_MS };
      expect(await one.append('big', new Uint8Array(one.recordBytesMax + 1), options)).toMatchObject({
        kind: 'not-stored',
        reason: 'limit',
      });
      expect(await one.append('big', largest, options)).toMatchObject({ kind: 'stored' });
      expect((await answered(() => other.last('big')))?.data.length).toBe(one.recordBytesMax);
    });

    test('a follower gets what is stored, hears that this was all, and then what comes', async () => {
      const empty = await followAll(one);
      await eventually(() => expect(empty.caughtUp).toBe(1));
      const a = await appendValue(one, 'a', 1, 0);
      const b = await appendValue(one, 'b', 2, 0);
      const late = await followAll(other);
      await eventually(() => expect(late.caughtUp).toBe(1));
      expect(late.values).toEqual([1, 2]);
      await appendValue(other, 'a', 3, a);
      await appendValue(other, 'b', 4, b);
      await eventually(() =>
        expect([empty.values, late.values]).toEqual([
          [1, 2, 3, 4],
          [1, 2, 3, 4],
        ]),
      );
      expect(late.records.map(({ shard }) => shard)).toEqual(['a', 'b', 'a', 'b']);
      const stored = await answered(() => one.last('b'));
      expect(late.records[3]).toMatchObject({ seq: stored?.seq });
      expect(Math.abs((late.records[3]?.timeMs ?? 0) - (stored?.timeMs ?? 0))).toBeLessThan(2);
      expect([empty.caughtUp, late.caughtUp, empty.resets, late.resets]).toEqual([1, 1, [], []]);
    });

    test('a follower gets a long stream in order, and stops when told', async () => {
      const shards = Array.from({ length: 10 }, (_, at) => `long-${at}`);
      const ends = await Promise.all(
        shards.map(async (shard) => {
          let seq = 0;
          for (let at = 0; at < 100; at++) seq = await appendValue(one, shard, at, seq);
          return seq;
        }),
      );
      const followed = await followAll(other);
      await eventually(() => expect(followed.caughtUp).toBe(1));
      expect(followed.values).toHaveLength(1000);
      const seqs = followed.records.map(({ seq }) => seq);
      expect(seqs).toEqual(seqs.toSorted((low, high) => low - high));
      for (const shard of shards) {
        const own = followed.records.filter((record) => record.shard === shard).map(({ data }) => decode(data));
        expect(own).toEqual(Array.from({ length: 100 }, (_, at) => at));
      }
      followed.unsubscribe();
      const still = await followAll(other);
      await appendValue(one, 'long-0', 'more', ends[0] ?? 0);
      await eventually(() => expect(still.values).toHaveLength(1001));
      expect(followed.values).toHaveLength(1000);
    });

    test('a follower whose link broke goes on where it was', async () => {
      const followed = await followAll(other);
      const first = await appendValue(one, 'a', 1, 0);
      await eventually(() => expect(followed.values).toEqual([1]));
      await world.cut(other);
      const second = await appendValue(one, 'a', 2, first);
      await world.mend(other);
      await eventually(() => expect(followed.values).toEqual([1, 2]), { timeoutMs: 60_000 });
      await appendValue(one, 'a', 3, second);
      await eventually(() => expect(followed.values).toEqual([1, 2, 3]));
      expect([followed.resets, followed.caughtUp]).toEqual([[], 1]);
    });

    test('over a broken link an append is unknown and a read fails', async () => {
      await world.cut(one);
      expect(await tryAppend(one, 'a', 1, 0)).toMatchObject({ kind: 'unknown' });
      await expect(one.last('a')).rejects.toMatchObject({ code: 'journal-unavailable' });
      await expect(one.getPart('a', 'p')).rejects.toMatchObject({ code: 'journal-unavailable' });
      await world.mend(one);
      await appendValue(one, 'a', 1, 0);
    });

    test('parts are kept by name, beside the records', async () => {
      const followed = await followAll(other);
      const part = new Uint8Array(one.recordBytesMax).fill(7);
      await answered(() => one.putPart('s', 'x1', part));
      await answered(() => one.putPart('s', 'x2', encode('two')));
      await answered(() => one.putPart('t', 'x1', encode('of t')));
      expect(Buffer.compare((await answered(() => other.getPart('s', 'x1'))) ?? encode('missing'), part)).toBe(0);
      expect(decode((await answered(() => other.getPart('t', 'x1'))) ?? encode('missing'))).toBe('of t');
      expect(await answered(() => other.getPart('s', 'x3'))).toBeUndefined();
      expect(Array.from(await answered(() => other.listParts('s'))).sort()).toEqual(['x1', 'x2']);
      await answered(() => other.deletePart('s', 'x1'));
      await answered(() => other.deletePart('s', 'x1'));
      expect(await answered(() => one.getPart('s', 'x1'))).toBeUndefined();
      expect(await answered(() => one.listParts('s'))).toEqual(['x2']);
      expect(await answered(() => one.listParts('u'))).toEqual([]);
      await appendValue(one, 's', 'record', 0, true);
      expect(await answered(() => one.listParts('s'))).toEqual(['x2']);
      await eventually(() => expect(followed.values).toEqual(['record']));
    });
  });
}
