// A replica that stood still and did not notice decides nothing and states nothing (guarantee G3).
import { setTimeout as passed } from 'node:timers/promises';
import { subjects } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { SLOW, startCluster } from './support/cluster.ts';

const PAUSE_MS = 5_000;
const REQUESTS = 12;

interface Reply {
  readonly epoch: number;
  readonly answer?: { readonly ok: boolean; readonly reservation?: { readonly id: string; readonly slot: string; readonly epoch: number } };
  readonly error?: { readonly code: string };
}

it('an owner that is stopped for 5 s with requests before it answers none of them with its old ownership', async ({ annotate }) => {
  await using cluster = await startCluster({ pools: { pool: { driver: 'simulated', floor: 6, max: 7, worker: { memory: '1MiB' } } } });
  await cluster.warm('pool', 6);
  const held = await cluster.reserve('pool', { org: 'keeper', requestId: 'keeper', ttlMs: 600_000 });
  if (!held.ok) throw new Error(JSON.stringify(held));
  await cluster.warm('pool', 6, 1);
  await using plain = await cluster.plain();
  const { owner, epoch } = await cluster.shard('pool');
  await cluster.replica(owner).pause();

  // Straight to the shard, where the old owner has them before it in its socket; every answer of anybody is kept.
  const replies: { readonly asked: string; readonly reply: Reply }[] = [];
  const command = (name: string, body: unknown): void => {
    const text = JSON.stringify({ v: 1, id: name, deadlineMs: 30_000, body });
    plain.ask(subjects.shardCommand('pool'), text, (answer) => replies.push({ asked: name, reply: JSON.parse(answer) as Reply }));
  };
  const ask = (): void => {
    for (let n = 0; n < REQUESTS; n++) {
      command(`r${n}`, { type: 'reserve', org: `org-${n}`, requestId: `r${n}`, isIdGiven: true, waitMs: 0, ttlMs: 600_000 });
    }
    const { id } = held.reservation;
    command('renew', { type: 'renew', reservations: [{ id, epoch: held.reservation.epoch }] });
    command('cancel', { type: 'cancel', org: 'org-x', requestId: 'x' });
  };
  const pausedMs = performance.now();
  ask();
  const other = [...cluster.replicas.keys()].find((id) => id !== owner);
  const taken = await eventually(async () => {
    const now = await cluster.shard('pool', other);
    return now.owner === owner ? (false as const) : now;
  }, SLOW);
  await annotate(`taken over by ${taken.owner} after ${Math.round(performance.now() - pausedMs)} ms`);
  expect(taken.epoch).toBeGreaterThan(epoch);
  // The same requests again, now for the new owner, and for the old one in its socket once more; the pool has no more workers
  // than it has, however often they are asked.
  const isAnswered = (name: string): boolean => replies.some(({ asked, reply }) => asked === name && reply.answer !== undefined);
  const areAnswered = (): boolean => Array.from({ length: REQUESTS }, (_, n) => isAnswered(`r${n}`)).every(Boolean);
  while (!areAnswered()) {
    ask();
    await eventually(areAnswered, { timeoutMs: 3_000 }).catch(() => undefined);
  }
  await passed(Math.max(0, PAUSE_MS - (performance.now() - pausedMs)));
  cluster.replica(owner).resume();

  // What it was sent while it was the owner it answers, all of it: that somebody else is to be asked.
  const ofOld = () => replies.filter(({ reply }) => reply.epoch <= epoch);
  await eventually(() => expect(ofOld().length).toBeGreaterThanOrEqual(REQUESTS + 2), SLOW);
  expect(ofOld().filter(({ reply }) => reply.error?.code !== 'retry-elsewhere')).toEqual([]);
  // It follows, and shows what the others show.
  await eventually(async () => {
    const { replicas, shards } = await cluster.read(owner, 'status');
    const now = await cluster.shard('pool', other);
    expect(shards.find(({ shard }) => shard === 'pool')).toMatchObject({ owner: now.owner, epoch: now.epoch });
    if (now.owner === taken.owner) expect(replicas.find(({ id }) => id === owner)?.shards).not.toContain('pool');
    const others = await cluster.read(now.owner, 'slots');
    const own = await cluster.read(owner, 'slots');
    const shown = ({ slots }: typeof own) => slots.map(({ slot, state, reservation }) => ({ slot, state, reservation }));
    expect(shown(own)).toEqual(shown(others));
  }, SLOW);
  expect(await (await cluster.get(owner, '/metrics')).text()).toMatch(/^muster_deposed_total [1-9]/m);

  // Whatever was granted is there, once, and no slot went to two requests.
  const granted = replies.flatMap(({ asked, reply }) =>
    reply.answer?.reservation === undefined ? [] : [{ asked, ...reply.answer.reservation }],
  );
  const byRequest = Map.groupBy(granted, ({ asked }) => asked);
  for (const answers of byRequest.values()) expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
  expect(byRequest.size).toBe(6);
  await eventually(async () => {
    const live = (await cluster.slots('pool')).flatMap(({ reservation }) => reservation ?? []);
    expect(new Set(live)).toEqual(new Set([held.reservation.id, ...granted.map(({ id }) => id)]));
    expect(live.length).toBe(7);
  }, SLOW);
  await annotate(`${replies.length} answers, ${ofOld().length} of the old owner`);

  // And it takes part again: asked in turn with the others, it passes on what is not its own.
  for (const { id, epoch: of } of [held.reservation, ...[...byRequest.values()].flatMap(([one]) => one ?? [])]) {
    expect(await cluster.settle('release', { id, epoch: of })).toMatchObject({ ok: true });
  }
});
