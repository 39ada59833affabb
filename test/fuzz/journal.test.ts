// A record that cannot be read stops its shard, loudly, with its sequence; it is never skipped, and the others go on.
import { type JournalMessage, MemoryLogger } from '@muster/ports';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryCluster } from '../pool/memory-cluster.ts';
import { hostile } from './hostile.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 1 }, other: { driver: simulated, floor: 1 } }';
/** Longer than a takeover, and than all that could come after it. */
const LONG_MS = 10_000;

interface Head {
  readonly op?: unknown;
  readonly prev?: unknown;
  readonly epoch?: unknown;
}

function read({ data }: Pick<JournalMessage, 'data'>): Head | undefined {
  try {
    const [line = ''] = new TextDecoder('utf-8', { fatal: true }).decode(data).split('\n');
    return (JSON.parse(line) as Head | null) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Undefined where it is nested too deep to be written again. */
function tryEncode(value: object): Uint8Array | undefined {
  try {
    return new TextEncoder().encode(JSON.stringify(value));
  } catch {
    return undefined;
  }
}

/** A cluster that has done something of each kind, and its journal of `demo`. */
async function used(logger: MemoryLogger) {
  const cluster = await MemoryCluster.start({ replicas: 2, config: CONFIG, logger });
  await cluster.untilWarm('demo', 1);
  const answer = await cluster.reserveNow('demo', { org: 'acme', requestId: 'r1' });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  await cluster.clock.run(1_000);
  return cluster;
}

const real: readonly unknown[] = await (async () => {
  const cluster = await used(new MemoryLogger());
  const owner = cluster.ownerOf('demo');
  if (owner !== undefined) cluster.kill(owner);
  await cluster.clock.run(LONG_MS);
  return cluster.server.records('demo').flatMap((record) => read(record) ?? []);
})();

/** Puts these bytes behind the last record of `demo`, as somebody who knows it could, and waits for what comes of it. */
async function intrude(bytes: (last: Head) => Uint8Array) {
  const logger = new MemoryLogger();
  const cluster = await used(logger);
  const before = cluster.server.records('demo');
  const last = before.at(-1);
  if (last === undefined) throw new Error('the journal is empty');
  const outcome = cluster.server.append('demo', bytes(read(last) ?? {}), last.seq, false);
  if (outcome.kind !== 'stored') throw new Error(JSON.stringify(outcome));
  await cluster.clock.run(LONG_MS);
  const after = cluster.server.records('demo').filter(({ seq }) => seq > outcome.seq);
  const stops = logger.lines.filter(({ message }) => message === 'a journal cannot be followed any further');
  return { cluster, logger, seq: outcome.seq, after, stops };
}

/** Both replicas have said where they stopped, nobody owns the shard or writes to it, and everything else goes on. */
async function assertStopped({ cluster, seq, after, stops }: Awaited<ReturnType<typeof intrude>>): Promise<void> {
  expect(stops.map(({ level, fields }) => [level, fields.shard, fields.seq])).toEqual([
    ['error', 'demo', seq],
    ['error', 'demo', seq],
  ]);
  expect(after).toEqual([]);
  expect(cluster.ownerOf('demo')).toBeUndefined();
  expect(await cluster.reserveNow('other', { org: 'acme', requestId: 'r2', waitMs: 5_000 })).toMatchObject({ ok: true });
}

test.each<[what: string, bytes: (last: Head) => string | Uint8Array]>([
  ['nothing', () => ''],
  ['bytes that are no text', () => Uint8Array.of(0xff, 0xfe, 0x00, 0x80)],
  ['half a record', () => '{"v":1,"by":"x","epoch":1,"op":"y"'],
  ['a list', () => '[]'],
  ['a record of another version', ({ op }) => `{"v":2,"by":"x","epoch":1,"op":"y","prev":"${String(op)}","type":"ops","set":[]}`],
  ['a record that follows another', () => '{"v":1,"by":"x","epoch":1,"op":"y","prev":"nobody","type":"ops","set":[]}'],
  [
    'an id that could not be named by the next',
    ({ op }) => `{"v":1,"by":"x","epoch":1,"op":"a\\"b","prev":"${String(op)}","type":"confirm"}`,
  ],
  ['half a character as its id', ({ op }) => `{"v":1,"by":"x","epoch":1,"op":"\\ud800","prev":"${String(op)}","type":"confirm"}`],
  ['an epoch without end', ({ op }) => `{"v":1,"by":"x","epoch":1e999,"op":"y","prev":"${String(op)}","type":"confirm"}`],
  [
    'a slot that is none',
    ({ op }) => `{"v":1,"by":"x","epoch":1,"op":"y","prev":"${String(op)}","type":"ops","set":[["slot","demo-1",{"state":"warm"}]]}`,
  ],
  [
    'text that is damaged inside of its words',
    ({ op }) => {
      const bytes = new TextEncoder().encode(`{"v":1,"by":"x?","epoch":1,"op":"y","prev":"${String(op)}","type":"confirm"}`);
      bytes[bytes.indexOf(63)] = 0xc3;
      return bytes;
    },
  ],
])('%s as a record stops the shard at its sequence, on every replica', async (_what, bytes) => {
  const intruded = await intrude((last) => {
    const made = bytes(last);
    return typeof made === 'string' ? new TextEncoder().encode(made) : made;
  });
  await assertStopped(intruded);
  // One that comes later stops there too.
  await intruded.cluster.addReplica();
  await intruded.cluster.clock.run(LONG_MS);
  expect(intruded.logger.lines.filter(({ message }) => message === 'a journal cannot be followed any further')).toHaveLength(3);
  expect(intruded.cluster.ownerOf('demo')).toBeUndefined();
});

test('whatever is put into a journal is read as the next record, or stops the shard: nothing is skipped', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(hostile(real), fc.boolean(), async (bytes, isNext) => {
      const intruded = await intrude(({ op, epoch }) => {
        const head = read({ data: bytes });
        if (!isNext || typeof head !== 'object' || Array.isArray(head)) return bytes;
        // Where it says what it follows it may fit, and be read as far as it can.
        return tryEncode({ ...head, op: 'intruder', prev: op, epoch }) ?? bytes;
      });
      expect(({} as { isPolluted?: unknown }).isPolluted).toBeUndefined();
      if (intruded.stops.length > 0) return assertStopped(intruded);
      const [next] = intruded.after;
      const stored = intruded.cluster.server.records('demo').find(({ seq }) => seq === intruded.seq);
      expect(stored).toBeDefined();
      if (next !== undefined && stored !== undefined) expect(read(next)?.prev).toBe(read(stored)?.op);
      expect(next).toBeDefined();
    }),
    { numRuns: 60 },
  );
});
