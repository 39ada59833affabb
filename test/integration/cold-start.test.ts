// One scale-up for one burst, whatever the number of replicas and of tries (DESIGN 7.2; guarantee G5).
import { randomUUID } from 'node:crypto';
import type { ReserveAnswer } from '@muster/protocol';
import { eventually, natsServerBinaries } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { type Cluster, newestNats, SLOW, startCluster } from './support/cluster.ts';

const FLOOR = 5;
const TENANTS = 30;
/** Until everybody has asked and a worker has started for each, on a machine that does other things too. */
const WAIT_MS = 120_000;
const LEASE_MS = 600_000;
const POOL = { driver: 'simulated', floor: FLOOR, worker: { memory: '1MiB' } };
/** How often a burst is tried, each time on a pool of its own. */
const TRIES = [1, 2, 3] as const;
const MODES = ['waits', 'retries', 'warm'] as const;
const POOLS = MODES.flatMap((mode) => TRIES.map((n) => `${mode}-${n}`));

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
    for (const pool of POOLS.filter((name) => !name.startsWith('warm'))) await cluster.admin({ type: 'hold', pool });
    await cluster.startHost('simulated');

    // Waiting: everybody in the queue of the shard before anything may be decided.
    await burst(cluster, 'waits', [FLOOR + TENANTS], async (pool) => {
      const waiting = askAll(pool, (request) => cluster.reserve(pool, { ...request, waitMs: WAIT_MS }));
      await eventually(async () => expect(await cluster.pool(pool)).toMatchObject({ waiting: TENANTS, warm: 0, spawning: 0 }), SLOW);
      return { answers: waiting };
    });

    // Retrying every 100 ms with the same ids: a client is one request, however often it asks.
    await burst(cluster, 'retries', [FLOOR + TENANTS], async (pool) => {
      let tries = 0;
      const retrying = askAll(pool, (request) =>
        eventually(
          async () => {
            tries += 1;
            const answer = await cluster.reserve(pool, { ...request, waitMs: 0 });
            if (!answer.ok && 'miss' in answer) expect(answer.miss.reason).toBe('warm-capacity-exhausted');
            return answer.ok ? answer : (false as const);
          },
          { ...SLOW, everyMs: 100 },
        ),
      );
      await eventually(() => expect(tries).toBeGreaterThan(3 * TENANTS), SLOW);
      await eventually(async () => expect(await cluster.pool(pool)).toMatchObject({ refused: TENANTS, warm: 0, spawning: 0 }), SLOW);
      await annotate(`${tries} tries of ${TENANTS} requests`);
      return { answers: retrying };
    });

    // Five are served at once, and the others wait.
    await burst(cluster, 'warm', [FLOOR, TENANTS], async (pool) => {
      await cluster.warm(pool, FLOOR);
      await cluster.admin({ type: 'hold', pool });
      const waiting = askAll(pool, (request) => cluster.reserve(pool, { ...request, waitMs: WAIT_MS }));
      const shown = { waiting: TENANTS - FLOOR, reserved: FLOOR, warm: 0, spawning: 0 };
      await eventually(async () => expect(await cluster.pool(pool)).toMatchObject(shown), SLOW);
      return { answers: waiting };
    });
  });
});

/**
 * Lets a held pool go when everybody has `asked`, and sees what was decided. Whoever stands still then is no demand: a client
 * that is not heard of for some seconds, an owner that was taken for lost, whose waiters have to ask its successor. Where the
 * decision did not see all of them the next pool is tried.
 */
async function burst(
  cluster: Cluster,
  mode: (typeof MODES)[number],
  decided: readonly number[],
  ask: (pool: string) => Promise<{ readonly answers: Promise<ReserveAnswer[]> }>,
): Promise<void> {
  for (const n of TRIES) {
    const pool = `${mode}-${n}`;
    const { answers } = await ask(pool);
    await cluster.admin({ type: 'resume', pool });
    expectGranted(await answers);
    await eventually(
      async () => expect(await cluster.pool(pool)).toMatchObject({ warm: FLOOR, reserved: TENANTS, spawning: 0, draining: 0 }),
      SLOW,
    );
    const intents = (await cluster.admin({ type: 'intents', pool })).intents.toReversed();
    const inputs = intents[decided.length - 1]?.inputs as Readonly<Record<string, Inputs>> | undefined;
    const { waiting = 0, refused = 0, warm = 0 } = inputs?.[pool] ?? {};
    const served = mode === 'warm' ? FLOOR - warm : 0;
    if (waiting + refused + served < TENANTS && n < TRIES.length) continue;
    expect(intents.map(({ kind, slots }) => [kind, slots[pool]])).toEqual(decided.map((count) => ['demand', count]));
    expect((await cluster.slots(pool)).length).toBe(FLOOR + TENANTS);
    for (const { applied } of intents) expect(applied[pool]).toMatchObject({ refused: 0 });
    return;
  }
}

interface Inputs {
  readonly waiting: number;
  readonly refused: number;
  readonly warm: number;
}

function askAll(
  pool: string,
  ask: (request: { readonly org: string; readonly requestId: string; readonly ttlMs: number }) => Promise<ReserveAnswer>,
): Promise<ReserveAnswer[]> {
  return Promise.all(
    Array.from({ length: TENANTS }, (_, n) => ask({ org: `org-${n}`, requestId: `${pool}-${n}-${randomUUID()}`, ttlMs: LEASE_MS })),
  );
}

function expectGranted(answers: readonly ReserveAnswer[]): void {
  const slots = answers.map((answer) => (answer.ok ? answer.reservation.slot : JSON.stringify(answer)));
  expect(answers.filter(({ ok }) => !ok)).toEqual([]);
  expect(new Set(slots).size).toBe(TENANTS);
}
