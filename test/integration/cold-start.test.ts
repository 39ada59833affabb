// One scale-up for one burst, whatever the number of replicas and of tries (DESIGN 7.2; guarantee G5).
import { randomUUID } from 'node:crypto';
import type { ReserveAnswer } from '@muster/protocol';
import { eventually, natsServerBinaries } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { newestNats, SLOW, startCluster } from './support/cluster.ts';

const FLOOR = 5;
const TENANTS = 30;
const POOL = { driver: 'simulated', floor: FLOOR, worker: { memory: '1MiB' } };
const POOLS = ['waits', 'retries', 'warm'] as const;

const runs = [...natsServerBinaries().map((nats) => ({ nats, replicas: 3 })), { nats: newestNats(), replicas: 1 }].map((run) => ({
  ...run,
  version: run.nats.version,
}));

describe.each(runs)('on nats-server $version with $replicas replicas', ({ nats, replicas }) => {
  it('thirty tenants and a floor of five are one intent of 35 when cold, thirty more when warm', async ({ annotate }) => {
    await using cluster = await startCluster({
      nats,
      replicas,
      host: 'none',
      pools: Object.fromEntries(POOLS.map((pool) => [pool, POOL])),
    });
    for (const pool of ['waits', 'retries']) await cluster.admin({ type: 'hold', pool });
    await cluster.startHost('simulated');
    await cluster.warm('warm', FLOOR);

    // Waiting: everybody in the queue of the shard before anything may be decided.
    const waiting = askAll('waits', (request) => cluster.reserve('waits', { ...request, waitMs: 25_000 }));
    await eventually(async () => expect(await cluster.pool('waits')).toMatchObject({ waiting: TENANTS, warm: 0, spawning: 0 }), SLOW);
    await cluster.admin({ type: 'resume', pool: 'waits' });
    expectGranted(await waiting);

    // Retrying every 100 ms with the same ids: a client is one request, however often it asks.
    let tries = 0;
    const retrying = askAll('retries', (request) =>
      eventually(
        async () => {
          tries += 1;
          const answer = await cluster.reserve('retries', { ...request, waitMs: 0 });
          if (!answer.ok && 'miss' in answer) expect(answer.miss.reason).toBe('warm-capacity-exhausted');
          return answer.ok ? answer : (false as const);
        },
        { ...SLOW, everyMs: 100 },
      ),
    );
    await eventually(async () => expect(await cluster.pool('retries')).toMatchObject({ refused: TENANTS, warm: 0, spawning: 0 }), SLOW);
    await eventually(() => expect(tries).toBeGreaterThan(3 * TENANTS), SLOW);
    await cluster.admin({ type: 'resume', pool: 'retries' });
    expectGranted(await retrying);
    await annotate(`${tries} tries of ${TENANTS} requests`);

    expectGranted(await askAll('warm', (request) => cluster.reserve('warm', { ...request, waitMs: 25_000 })));

    for (const pool of POOLS) {
      await eventually(
        async () => expect(await cluster.pool(pool)).toMatchObject({ warm: FLOOR, reserved: TENANTS, spawning: 0, draining: 0 }),
        SLOW,
      );
      const { intents } = await cluster.admin({ type: 'intents', pool });
      const started = intents.map(({ slots }) => slots[pool] ?? 0);
      expect(intents.every(({ kind }) => kind === 'demand')).toBe(true);
      const [first, ...rest] = started.toReversed();
      if (pool !== 'warm') {
        expect(started).toEqual([FLOOR + TENANTS]);
      } else {
        expect(first).toBe(FLOOR);
        expect(rest.length).toBeLessThanOrEqual(2);
        expect(rest.reduce((sum, count) => sum + count, 0)).toBe(TENANTS);
      }
      expect((await cluster.slots(pool)).length).toBe(FLOOR + TENANTS);
      for (const { applied } of intents) expect(applied[pool]).toMatchObject({ refused: 0 });
    }
  });
});

function askAll(
  pool: string,
  ask: (request: { readonly org: string; readonly requestId: string }) => Promise<ReserveAnswer>,
): Promise<ReserveAnswer[]> {
  return Promise.all(Array.from({ length: TENANTS }, (_, n) => ask({ org: `org-${n}`, requestId: `${pool}-${n}-${randomUUID()}` })));
}

function expectGranted(answers: readonly ReserveAnswer[]): void {
  const slots = answers.map((answer) => (answer.ok ? answer.reservation.slot : JSON.stringify(answer)));
  expect(answers.filter(({ ok }) => !ok)).toEqual([]);
  expect(new Set(slots).size).toBe(TENANTS);
}
