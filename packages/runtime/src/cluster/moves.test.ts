import { expect, it } from 'vitest';
import { parseRecord } from '../journal/record.ts';
import { ask, bank, TestCluster } from '../test-cluster.ts';
import { chooseHeirs, chooseMove } from './moves.ts';

const deposit = { type: 'deposit', amount: 1 } as const;
const types = (cluster: TestCluster, shard = 'bank') => cluster.server.records(shard).map((message) => parseRecord(message).record.type);

it('hands over on stop: the heir owns the shard at once, and no request is lost or executed twice', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  const c = await cluster.start('c', [bank()]);
  await cluster.clock.run(2_000);
  let asked = 0;
  let answered = 0;
  let isAsking = true;
  const load = (async () => {
    while (isAsking) {
      asked += 1;
      await c.runtime.ask('bank', { to: 'account/ada', event: deposit }, { timeoutMs: 10_000, id: `r${asked}` });
      answered += 1;
    }
  })();
  await cluster.clock.run(100);
  const startedAtMs = cluster.clock.monotonicMs();
  const stopping = a.runtime.stop(5_000);
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank') || c.runtime.isOwned('bank'));
  expect(cluster.clock.monotonicMs() - startedAtMs).toBeLessThan(50);
  await cluster.clock.resolve(stopping);
  expect(cluster.clock.monotonicMs() - startedAtMs).toBeLessThan(500);
  await cluster.clock.run(500);
  isAsking = false;
  await cluster.clock.resolve(load);
  expect(answered).toBe(asked);
  expect(types(cluster).filter((type) => type === 'handover')).toHaveLength(1);
  expect(await ask(b, cluster.clock, 'ada', deposit)).toMatchObject({ reply: asked + 1 });
});

it('a shard whose heir is faster than the acknowledgement of the handover was handed over, not lost', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.run(2_000);
  a.journal.choose = (_shard, data) =>
    new TextDecoder().decode(data).includes('"handover"') ? { kind: 'delay', delayMs: 100 } : undefined;
  const stopping = a.runtime.stop(5_000);
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'));
  const said = () => a.logger.lines.map(({ message }) => message).filter((message) => message.startsWith('shard '));
  // Only the heir knows yet.
  expect(said()).toEqual(['shard taken']);
  const takenAtMs = cluster.clock.monotonicMs();
  await cluster.clock.resolve(stopping);
  // And it waits for the heir no longer, which has it.
  expect(cluster.clock.monotonicMs() - takenAtMs).toBeLessThan(200);
  expect(said()).toEqual(['shard taken', 'shard handed over']);
  expect(a.metrics.value('muster_deposed_total')).toBe(0);
  expect(await ask(b, cluster.clock, 'ada', deposit)).toMatchObject({ reply: 1 });
});

it('hands a shard over once, also when it is stopped while a handover of its is unresolved', async () => {
  const cluster = new TestCluster();
  const definitions = ['one', 'two'].map((shard) => bank({ shard }));
  const a = await cluster.start('a', definitions);
  await cluster.clock.runUntil(() => a.runtime.isOwned('one') && a.runtime.isOwned('two'));
  const b = await cluster.start('b', definitions);
  let handovers = 0;
  a.journal.choose = (_shard, data) =>
    new TextDecoder().decode(data).includes('"handover"') && ++handovers === 1 ? { kind: 'not-stored', reason: 'in-flight' } : undefined;
  await cluster.clock.runUntil(() => handovers > 0, 60_000);
  await cluster.clock.resolve(a.runtime.stop(5_000));
  await cluster.clock.runUntil(() => b.runtime.isOwned('one') && b.runtime.isOwned('two'));
  for (const shard of ['one', 'two']) expect(types(cluster, shard).filter((type) => type === 'handover')).toHaveLength(1);
});

it('loses a shard that it gave away once, and has again, as it would any other', async () => {
  const cluster = new TestCluster();
  const definitions = ['one', 'two'].map((shard) => bank({ shard }));
  const a = await cluster.start('a', definitions);
  await cluster.clock.runUntil(() => a.runtime.isOwned('one') && a.runtime.isOwned('two'));
  const b = await cluster.start('b', definitions);
  const shard = () => ['one', 'two'].find((name) => b.runtime.isOwned(name)) ?? '';
  await cluster.clock.runUntil(() => shard() !== '', 60_000);
  const moved = shard();
  await cluster.clock.resolve(b.runtime.stop(5_000));
  await cluster.clock.runUntil(() => a.runtime.isOwned(moved));
  // It reads its own handover of the time before once more.
  const { lastSeq } = cluster.server;
  await cluster.clock.resolve(a.runtime.ask(moved === 'one' ? 'two' : 'one', { to: 'account/ada', event: deposit }, { timeoutMs: 5_000 }));
  cluster.server.loseTail(lastSeq);
  await cluster.clock.run(1_000);
  expect(a.metrics.value('muster_shadow_reloads_total')).toBe(1);
  const c = await cluster.start('c', definitions);
  a.pauseFor(10_000);
  await cluster.clock.runUntil(() => c.runtime.isOwned(moved), 20_000);
  await cluster.clock.run(10_000);
  const lost = a.logger.lines.filter(({ message, fields }) => message === 'shard lost' && fields['shard'] === moved);
  expect(lost.map(({ fields }) => fields['why'])).toEqual(['another replica has taken the shard']);
});

it('makes durable what was decided when it stops alone', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const pending = a.runtime.ask('bank', { to: 'account/ada', event: deposit }, { timeoutMs: 5_000 });
  await cluster.clock.resolve(a.runtime.stop(1_000));
  expect((await pending).value).toMatchObject({ reply: 1 });
  await expect(a.runtime.ask('bank', {}, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'closed' });
  const b = await cluster.startBank('b');
  expect(await ask(b, cluster.clock, 'ada', deposit)).toMatchObject({ reply: 2 });
});

it('lets anyone take the shard when the heir does not, after the take-over time', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.run(2_000);
  const c = await cluster.start('c', [bank()]);
  b.journal.choose = () => ({ kind: 'lost' });
  c.journal.choose = () => ({ kind: 'lost' });
  await cluster.clock.resolve(a.runtime.stop(5_000));
  expect(types(cluster).at(-1)).toBe('handover');
  b.kill();
  c.journal.choose = () => undefined;
  await cluster.clock.runUntil(() => c.runtime.isOwned('bank'), 6_000);
});

it('gives one that joins its share, one shard at a time, when it is steady and the shards have stayed', async () => {
  const cluster = new TestCluster();
  const shards = ['one', 'two', 'three', 'four', 'five', 'six'];
  const definitions = shards.map((shard) => bank({ shard }));
  const a = await cluster.start('a', definitions);
  await cluster.clock.runUntil(() => shards.every((shard) => a.runtime.isOwned(shard)));
  const b = await cluster.start('b', definitions);
  const c = await cluster.start('c', definitions);
  const owned = () => [a, b, c].map(({ runtime }) => shards.filter((shard) => runtime.isOwned(shard)).length);
  await cluster.clock.run(28_000);
  expect(owned()).toEqual([6, 0, 0]);
  await cluster.clock.run(30_000);
  expect(owned()).toEqual([2, 2, 2]);
  const handovers = shards.flatMap((shard) =>
    cluster.server.records(shard).filter((message) => parseRecord(message).record.type === 'handover'),
  );
  expect(handovers).toHaveLength(4);
  const times = handovers.map(({ timeMs }) => timeMs).toSorted((one, other) => one - other);
  for (const [at, timeMs] of times.slice(1).entries()) expect(timeMs - (times[at] ?? 0)).toBeGreaterThan(1_000);
  await cluster.clock.run(120_000);
  expect(owned()).toEqual([2, 2, 2]);
  expect(shards.map((shard) => types(cluster, shard).filter((type) => type === 'handover').length)).toEqual(expect.arrayContaining([0, 1]));
});

it('moves nothing to one that is not steady, does not follow, or would have as many', () => {
  const own = { replica: 'a', shards: ['one', 'two'], movable: ['one', 'two'] };
  expect(chooseMove(own, [{ replica: 'b', shards: 0, canTake: () => false }])).toBeUndefined();
  expect(chooseMove(own, [{ replica: 'b', shards: 1, canTake: () => true }])).toBeUndefined();
  expect(chooseMove(own, [{ replica: 'b', shards: 0, canTake: () => true }])?.to).toBe('b');
  expect(chooseMove({ ...own, movable: [] }, [{ replica: 'b', shards: 0, canTake: () => true }])).toBeUndefined();
});

it('moves from one replica only: the first of those that have most', () => {
  const others = [
    { replica: 'b', shards: 4, canTake: () => true },
    { replica: 'c', shards: 0, canTake: () => true },
  ];
  const shards = ['one', 'two', 'three', 'four'];
  expect(chooseMove({ replica: 'a', shards, movable: shards }, others)?.to).toBe('c');
  const fromB = [
    { replica: 'a', shards: 4, canTake: () => true },
    { replica: 'c', shards: 0, canTake: () => true },
  ];
  expect(chooseMove({ replica: 'b', shards, movable: shards }, fromB)).toBeUndefined();
});

it('moves a shard only to one that knows it', async () => {
  const one = { replica: 'b', shards: 0, canTake: (shard: string) => shard === 'two' };
  expect(chooseMove({ replica: 'a', shards: ['one', 'two'], movable: ['one', 'two'] }, [one])).toEqual({ shard: 'two', to: 'b' });
  expect([...chooseHeirs(['one', 'two'], [one])]).toEqual([['two', 'b']]);

  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  await cluster.start('observer');
  await cluster.clock.run(2_000);
  await cluster.clock.resolve(a.runtime.stop(1_000));
  expect(types(cluster)).not.toContain('handover');
});

it('shares the shards of one that stops between those that are left', () => {
  const heirs = chooseHeirs(
    ['one', 'two', 'three'],
    [
      { replica: 'b', shards: 2, canTake: () => true },
      { replica: 'c', shards: 0, canTake: () => true },
      { replica: 'd', shards: 0, canTake: () => false },
    ],
  );
  const counts = [...heirs.values()].filter((heir) => heir === 'c').length;
  expect([heirs.size, counts, [...heirs.values()].includes('d')]).toEqual([3, 2, false]);
});
