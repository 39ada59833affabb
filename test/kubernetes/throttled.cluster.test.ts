// The API server has too much to do: it sends every create away for a while, with and without saying for how long.
import { eventually, type FaultMatch } from '@muster/testkit';
import { expect, test } from 'vitest';
import { SLOW } from '../integration/support/cluster.ts';
import { readKubernetesTestConfig } from './config.ts';
import { expectAccountedFor, POOL, startPodCluster } from './pod-cluster.ts';

const FLOOR = 5;
const TENANTS = 30;
const CREATES: FaultMatch = { verbs: ['create'], resource: 'pods' };

// A real API server does not do so when it is asked to.
test.skipIf(readKubernetesTestConfig().kubeconfig !== undefined)(
  'throttled and overloaded it makes each of the 35 pods of one intent once, and says nothing against the template',
  async () => {
    await using cluster = await startPodCluster({
      nodes: { initial: 6, podsPerNode: 6 },
      pool: { floor: 0, waitMax: '5m', breaker: { failures: 2 } },
    });
    const { muster, world, workers } = cluster;
    const faults = world.double?.faults;
    if (faults === undefined) throw new Error('there is no double');
    await muster.admin({ type: 'hold', pool: POOL });
    const waiting = Array.from({ length: TENANTS }, (_, n) =>
      muster.reserve(POOL, { org: `org-${n}`, requestId: `r-${n}`, waitMs: 120_000 }, 130_000),
    );
    await eventually(async () => expect(await muster.pool(POOL)).toMatchObject({ waiting: TENANTS, warm: 0 }), SLOW);
    await muster.admin({ type: 'apply', yaml: cluster.configWith({ floor: FLOOR, waitMax: '5m', breaker: { failures: 2 } }) });
    // Each create is sent away about once by each.
    const throttled = faults.add(CREATES, { kind: 'refuse', status: 429, retryAfterSeconds: 1 }, FLOOR + TENANTS);
    const overloaded = faults.add(CREATES, { kind: 'refuse', status: 503, retryAfterSeconds: 1 }, FLOOR + TENANTS);
    await muster.admin({ type: 'resume', pool: POOL });

    const answers = await Promise.all(waiting);
    expect(answers.filter(({ ok }) => !ok)).toEqual([]);
    expect([throttled.hits, overloaded.hits]).toEqual([FLOOR + TENANTS, FLOOR + TENANTS]);
    await eventually(
      async () => expect(await muster.pool(POOL)).toMatchObject({ warm: FLOOR, reserved: TENANTS, spawning: 0, isBreakerOpen: false }),
      SLOW,
    );
    const { intents } = await muster.admin({ type: 'intents', pool: POOL });
    expect(intents.map(({ kind, slots }) => [kind, slots[POOL]])).toEqual([['demand', FLOOR + TENANTS]]);
    expect(cluster.seen.size).toBe(FLOOR + TENANTS);
    expect(workers.started).toHaveLength(FLOOR + TENANTS);
    await expectAccountedFor(cluster);
  },
);
