import { subjects } from '@muster/protocol';
import { expect, it } from 'vitest';
import { parseRecord } from '../journal/record.ts';
import { ask, bank, type Replica, TestCluster } from '../test-cluster.ts';

const deposit = { type: 'deposit', amount: 1 } as const;

async function startTwo(): Promise<{ cluster: TestCluster; a: Replica; b: Replica }> {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.run(2_000);
  return { cluster, a, b };
}

it('takes a silent shard over after the take-over time, and not before', async () => {
  const { cluster, a, b } = await startTwo();
  await ask(a, cluster.clock, 'ada', deposit);
  const killedAtMs = cluster.clock.monotonicMs();
  a.kill();
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'));
  const tookMs = cluster.clock.monotonicMs() - killedAtMs;
  expect(tookMs).toBeGreaterThan(1_100); // the last beat was up to T/4 before
  expect(tookMs).toBeLessThanOrEqual(2_000);
  expect(await ask(b, cluster.clock, 'ada', deposit)).toMatchObject({ reply: 2 });
});

it('does not take a shard whose owner beats, however long nothing is decided', async () => {
  const { cluster, a, b } = await startTwo();
  await cluster.clock.run(60_000);
  expect([a.runtime.isOwned('bank'), b.runtime.isOwned('bank')]).toEqual([true, false]);
  expect(cluster.server.records('bank')).toHaveLength(1);
});

it('counts silence in ticks that were executed: a standby that stood still takes nothing', async () => {
  const { cluster, a, b } = await startTwo();
  b.pauseFor(60_000);
  await cluster.clock.run(65_000);
  expect(a.runtime.isOwned('bank')).toBe(true);
  expect(cluster.server.records('bank')).toHaveLength(1);
});

it('counts silence from zero after the link came back', async () => {
  const { cluster, a, b } = await startTwo();
  b.bus.disconnect();
  await cluster.clock.run(60_000);
  b.bus.reconnect();
  await cluster.clock.run(1_000);
  expect(cluster.server.records('bank')).toHaveLength(1);
  await cluster.clock.run(10_000);
  expect(a.runtime.isOwned('bank')).toBe(true);
});

it('forgets the silence from before the link broke', async () => {
  let isQuiet = false;
  const cluster = new TestCluster({ transit: ({ from, to }) => (isQuiet && from === 'a' && to === 'b' ? [] : [1]) });
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.run(2_000);
  isQuiet = true;
  await cluster.clock.run(800);
  b.bus.disconnect();
  await cluster.clock.run(5_000);
  b.bus.reconnect();
  await cluster.clock.run(1_000);
  isQuiet = false;
  await cluster.clock.run(10_000);
  expect(a.runtime.isOwned('bank')).toBe(true);
  expect(cluster.server.records('bank')).toHaveLength(1);
});

it('tries in the order of claims: of five standbys one takes the shard, the others do not even try', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const others: Replica[] = [];
  for (const name of ['b', 'c', 'd', 'e', 'f']) others.push(await cluster.start(name, [bank()]));
  await cluster.clock.run(3_000);
  let tries = 0;
  for (const { journal } of others) {
    journal.choose = () => {
      tries += 1;
      return undefined;
    };
  }
  a.kill();
  await cluster.clock.runUntil(() => others.some(({ runtime }) => runtime.isOwned('bank')));
  expect(tries).toBe(1);
  expect(others.filter(({ runtime }) => runtime.isOwned('bank'))).toHaveLength(1);
});

it('does not name a frozen shard in its beats, so that another takes it, and then knows that it is deposed', async () => {
  const { cluster, a, b } = await startTwo();
  a.journal.choose = () => ({ kind: 'lost' });
  const pending = a.runtime.ask('bank', { to: 'account/ada', event: deposit }, { timeoutMs: 20_000, id: 'r' });
  await cluster.clock.runUntil(() => a.runtime.isFrozen('bank'));
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'), 5_000);
  // The asker on the deposed replica is sent on, with the same id.
  expect((await cluster.clock.resolve(pending)).value).toMatchObject({ ok: true, reply: 1 });
  await cluster.clock.run(5_000);
  expect(a.runtime.isOwned('bank')).toBe(false);
  expect(a.metrics.value('muster_deposed_total')).toBe(1);
});

it('answers nothing with its old ownership after it stood still (G3)', async () => {
  const { cluster, a, b } = await startTwo();
  await ask(a, cluster.clock, 'ada', deposit, 'first');
  const answered: unknown[] = [];
  const request = (id: string, body: unknown) => {
    // Straight to the subject of the shard, as it was when `a` was the only one there.
    const asked = b.bus.request(subjects.shardCommand('bank'), Buffer.from(JSON.stringify({ v: 1, id, deadlineMs: 60_000, body })), {
      timeoutMs: 60_000,
    });
    void asked.then((message) => answered.push(JSON.parse(Buffer.from(message.data).toString())));
    return asked;
  };
  a.pauseFor(8_000);
  const write = request('second', { to: 'account/ada', event: deposit });
  const repeat = request('first', { to: 'account/ada', event: deposit });
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'));
  expect(await ask(b, cluster.clock, 'ada', { type: 'deposit', amount: 10 })).toMatchObject({ reply: 11 });
  await cluster.clock.resolve(Promise.all([write, repeat]));
  expect(answered).toHaveLength(2);
  for (const answer of answered) expect(answer).toMatchObject({ error: { code: 'retry-elsewhere' } });
  expect(a.runtime.isOwned('bank')).toBe(false);
  expect(await ask(a, cluster.clock, 'ada', deposit)).toMatchObject({ reply: 12 });
});

it('lets exactly one of several begin a new shard', async () => {
  const cluster = new TestCluster();
  const replicas = await Promise.all(['a', 'b', 'c'].map((name) => cluster.start(name)));
  for (const { runtime } of replicas) runtime.define([bank()]);
  await cluster.clock.run(5_000);
  expect(replicas.filter(({ runtime }) => runtime.isOwned('bank'))).toHaveLength(1);
  expect(cluster.server.records('bank').map((message) => parseRecord(message).record.type)).toEqual(['epoch']);
});

it('reloads, says so, and goes on when the journal lost its tail', async () => {
  const { cluster, a, b } = await startTwo();
  for (let n = 0; n < 5; n++) await ask(a, cluster.clock, 'ada', deposit);
  const { seq } = cluster.server.records('bank')[3] ?? { seq: 0 };
  a.kill();
  cluster.server.loseTail(seq);
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'));
  expect(b.logger.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
  expect(b.metrics.value('muster_shadow_reloads_total')).toBe(1);
  expect(await ask(b, cluster.clock, 'ada', deposit)).toMatchObject({ reply: 4 });
});

it('compares what is stored with what it has seen before it takes a shard, and reads again what is shorter', async () => {
  const { cluster, a, b } = await startTwo();
  for (let n = 0; n < 3; n++) await ask(a, cluster.clock, 'ada', deposit);
  b.journal.last = async () => cluster.server.records('bank').at(-2);
  a.kill();
  await cluster.clock.run(4_000);
  expect(b.runtime.isOwned('bank')).toBe(false);
  expect(b.metrics.value('muster_shadow_reloads_total')).toBeGreaterThan(0);
  expect(b.logger.lines.find(({ level }) => level === 'error')?.fields['reason']).toContain('was seen');
});

it('is deposed when the journal lost what it had written, and the next owner has what is left', async () => {
  const { cluster, a, b } = await startTwo();
  for (let n = 0; n < 5; n++) await ask(a, cluster.clock, 'ada', deposit);
  cluster.server.loseTail(cluster.server.records('bank')[3]?.seq ?? 0);
  expect(await ask(b, cluster.clock, 'ada', deposit)).toMatchObject({ reply: 4 });
  expect(a.metrics.value('muster_deposed_total')).toBe(1);
});

it('stops loudly at a record that it cannot read, and is no candidate for the shard', async () => {
  const { cluster, a, b } = await startTwo();
  a.kill();
  const { seq } = cluster.server.last('bank') ?? { seq: 0 };
  cluster.server.append('bank', Buffer.from('{"v":1,"by":'), seq, false);
  await cluster.clock.run(20_000);
  expect(b.runtime.isOwned('bank')).toBe(false);
  const [line] = b.logger.lines.filter(({ level }) => level === 'error');
  expect(line?.fields).toMatchObject({ shard: 'bank', seq: seq + 1, why: 'damaged' });
  expect(b.logger.lines.filter(({ level }) => level === 'warn')).toEqual([]);
});

it('is no candidate for a shard with a record of a version that it does not know', async () => {
  const { cluster, a, b } = await startTwo();
  a.kill();
  const { seq } = cluster.server.last('bank') ?? { seq: 0 };
  cluster.server.append('bank', Buffer.from('{"v":2}'), seq, false);
  await cluster.clock.run(20_000);
  expect(b.runtime.isOwned('bank')).toBe(false);
  expect(b.logger.lines.find(({ level }) => level === 'error')?.fields).toMatchObject({ why: 'unknown-version' });
});
