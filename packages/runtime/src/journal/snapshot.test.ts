import { expect, it } from 'vitest';
import type { Shadow } from '../contract.ts';
import { account, ask, bank, type Replica, TestCluster } from '../test-cluster.ts';
import { parseRecord } from './record.ts';

const RECORD_BYTES = 32 * 1024;
/** Thousands of commands each: seconds on a machine with other work. */
const SLOW = { timeout: 60_000 };

/** Everything of a shard, as one text. */
function contents(shadow: Shadow | undefined): string {
  const kinds = [account, { kind: '_answers', parse: (value: unknown) => value }];
  return JSON.stringify([shadow?.epoch, shadow?.seq, ...kinds.map((kind) => [...(shadow?.list(kind) ?? [])])]);
}

async function fill(cluster: TestCluster, replica: Replica, accounts: number, from = 0): Promise<void> {
  const asks = Array.from({ length: accounts }, (_, n) =>
    // Ids that do not compress, so that the state has the size it seems to have.
    replica.runtime.ask(
      'bank',
      {
        to: `account/${(n + from).toString(36)}-${((n + from + 1) * 2_654_435_761).toString(36).repeat(4)}`,
        event: { type: 'deposit', amount: n },
      },
      { timeoutMs: 30_000, id: `${n + from}-${((n + from + 1) * 40_503).toString(36)}` },
    ),
  );
  await cluster.clock.resolve(Promise.all(asks));
}

/** Fills accounts until the newest snapshot is another, in parts. */
async function fillUntilParts(cluster: TestCluster, replica: Replica, from = 0): Promise<void> {
  const before = snapshots(cluster)[0]?.op;
  for (let batch = 0; batch < 40; batch++) {
    await fill(cluster, replica, 500, from + batch * 500);
    await cluster.clock.run(300);
    const [now] = snapshots(cluster);
    if (now?.op !== before && now?.snapshot?.parts !== undefined) return;
  }
  throw new Error('no snapshot in parts was written');
}

/** The snapshots that are stored now; one, or none: each replaces the one before. */
function snapshots(cluster: TestCluster) {
  const [first] = cluster.server.records('bank');
  if (first === undefined) return [];
  const { record } = parseRecord(first);
  return record.type === 'snapshot' ? [record] : [];
}

it('replaces the records by one that holds the whole state, where that fits', SLOW, async () => {
  const cluster = new TestCluster({ recordBytesMax: RECORD_BYTES });
  const a = await cluster.startBank('a', { snapshotBytesMin: 10_000 });
  const b = await cluster.start('b', [bank()]);
  await fill(cluster, a, 60);
  await cluster.clock.runUntil(() => snapshots(cluster).length > 0);
  await fill(cluster, a, 3, 60);
  await cluster.clock.run(500);
  expect(snapshots(cluster)[0]?.snapshot?.frames).toHaveLength(1);
  expect(cluster.server.listParts('bank')).toEqual([]);
  const c = await cluster.start('c', [bank()]);
  await cluster.clock.run(1_000);
  const expected = contents(a.runtime.shadow('bank'));
  expect(expected.length).toBeGreaterThan(10_000);
  expect(contents(b.runtime.shadow('bank'))).toBe(expected);
  expect(contents(c.runtime.shadow('bank'))).toBe(expected);
});

it('writes a large state in parts, with what changes meanwhile, and removes the parts that it replaces', SLOW, async () => {
  const cluster = new TestCluster({ recordBytesMax: RECORD_BYTES });
  const a = await cluster.startBank('a', { snapshotBytesMin: 100_000 });
  let isChanging = true;
  let changed = 0;
  const changing = (async () => {
    while (isChanging)
      await a.runtime.ask('bank', { to: 'account/busy', event: { type: 'deposit', amount: ++changed } }, { timeoutMs: 5_000 });
  })();
  await fill(cluster, a, 1_000);
  await cluster.clock.runUntil(() => snapshots(cluster)[0]?.snapshot?.parts !== undefined);
  const [first] = snapshots(cluster);
  expect(first?.snapshot?.parts?.length).toBeGreaterThan(1);
  expect(first?.snapshot?.rest.length).toBeGreaterThan(0);
  const reader = await cluster.start('reader', [bank()]);
  isChanging = false;
  await cluster.clock.resolve(changing);
  await cluster.clock.run(1_000);
  expect(snapshots(cluster)[0]?.op).toBe(first?.op);
  expect(contents(reader.runtime.shadow('bank'))).toBe(contents(a.runtime.shadow('bank')));
  await fill(cluster, a, 2_000, 1_000);
  await cluster.clock.runUntil(() => snapshots(cluster)[0]?.op !== first?.op);
  await cluster.clock.run(500);
  const { parts = [], deltas = [] } = snapshots(cluster)[0]?.snapshot ?? {};
  expect(cluster.server.listParts('bank').toSorted()).toEqual([...parts, ...deltas].map(({ name }) => name).toSorted());
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.runUntil(() => b.runtime.shadow('bank')?.seq === a.runtime.shadow('bank')?.seq);
  expect(contents(b.runtime.shadow('bank'))).toBe(contents(a.runtime.shadow('bank')));
  a.kill();
  expect(await ask(b, cluster.clock, 'busy', { type: 'deposit', amount: 0 })).toMatchObject({ reply: (changed * (changed + 1)) / 2 });
});

it('carries the changes of a busy shard in delta parts', SLOW, async () => {
  const cluster = new TestCluster({ recordBytesMax: RECORD_BYTES });
  const a = await cluster.startBank('a', { snapshotBytesMin: 100_000 });
  // Slow to store a part, so that much changes meanwhile.
  const putPart = a.journal.putPart.bind(a.journal);
  a.journal.putPart = async (shard, part, data) => {
    await new Promise<void>((resolve) => void cluster.clock.setTimer(20, resolve));
    await putPart(shard, part, data);
  };
  await fill(cluster, a, 1_000);
  let next = 1_000;
  let isChanging = true;
  const changing = (async () => {
    while (isChanging) {
      const from = next;
      next += 40;
      await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          a.runtime.ask('bank', { to: `account/n${(from + n) * 7_919}`, event: { type: 'deposit', amount: n } }, { timeoutMs: 5_000 }),
        ),
      );
    }
  })();
  await cluster.clock.runUntil(() => (snapshots(cluster)[0]?.snapshot?.deltas ?? []).length > 0);
  isChanging = false;
  await cluster.clock.resolve(changing);
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.runUntil(() => b.runtime.shadow('bank')?.seq === a.runtime.shadow('bank')?.seq);
  expect(contents(b.runtime.shadow('bank'))).toBe(contents(a.runtime.shadow('bank')));
});

it('waits with the rollup until its own records have been followed', SLOW, async () => {
  const transit = ({ subject }: { readonly subject: string }) => [subject === 'follow' ? 7 : 1];
  const cluster = new TestCluster({ recordBytesMax: RECORD_BYTES, transit, isOrdered: false });
  const a = await cluster.startBank('a', { snapshotBytesMin: 10_000 });
  let told = 0;
  while (snapshots(cluster).length === 0) {
    a.runtime.tell('bank', { to: `account/n${told++}`, event: { type: 'deposit', amount: 1 } });
    await cluster.clock.run(1);
  }
  await cluster.clock.run(500);
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.run(100);
  expect(b.runtime.shadow('bank')?.count(account)).toBe(told);
});

it('starts again at the newest snapshot when the parts of an older one are gone', SLOW, async () => {
  const cluster = new TestCluster({ recordBytesMax: RECORD_BYTES });
  const a = await cluster.startBank('a', { snapshotBytesMin: 100_000 });
  await fillUntilParts(cluster, a);
  const [first] = snapshots(cluster);
  await cluster.clock.run(500);
  // A reader that has the old rollup in its hands, and finds its parts replaced.
  const b = await cluster.start('b', []);
  b.journal.getPart = async (shard, part) => {
    if (snapshots(cluster)[0]?.op === first?.op) return undefined;
    return cluster.server.getPart(shard, part);
  };
  await cluster.clock.run(100);
  expect(b.runtime.shadow('bank')?.seq ?? 0).toBe(0);
  await fillUntilParts(cluster, a, 100_000);
  await cluster.clock.runUntil(() => b.runtime.shadow('bank')?.seq === a.runtime.shadow('bank')?.seq);
  expect(contents(b.runtime.shadow('bank'))).toBe(contents(a.runtime.shadow('bank')));
});

it('writes no rollup after another replica took the shard, and leaves what that one stored', SLOW, async () => {
  const cluster = new TestCluster({ recordBytesMax: RECORD_BYTES });
  const a = await cluster.startBank('a', { snapshotBytesMin: 100_000 });
  const b = await cluster.start('b', [bank()], { snapshotBytesMin: 100_000 });
  await cluster.clock.run(2_000);
  const putPart = a.journal.putPart.bind(a.journal);
  let parts = 0;
  a.journal.putPart = async (shard, part, data) => {
    await putPart(shard, part, data);
    parts += 1;
    if (parts === 2) a.pauseFor(5_000);
  };
  for (let from = 0; parts < 2; from += 500) await fill(cluster, b, 500, from);
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'), 10_000);
  await fillUntilParts(cluster, b, 100_000);
  await cluster.clock.run(20_000);
  const { by, snapshot } = snapshots(cluster)[0] ?? {};
  expect(by).toBe(
    cluster.server
      .records('bank')
      .map((message) => parseRecord(message).record.by)
      .at(-1),
  );
  for (const { name } of snapshot?.parts ?? []) expect(cluster.server.getPart('bank', name)).toBeDefined();
  expect(a.runtime.isOwned('bank')).toBe(false);
});
