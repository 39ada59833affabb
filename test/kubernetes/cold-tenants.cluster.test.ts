// The tenants' cold start on a cluster whose nodes come when pods have no room (DESIGN 7.2): one decision
// makes every pod at once, and the tenants are served as the nodes arrive.
import { setTimeout as passed } from 'node:timers/promises';
import { eventually } from '@muster/testkit';
import { expect, test } from 'vitest';
import { SLOW } from '../integration/support/cluster.ts';
import { readKubernetesTestConfig } from './config.ts';
import { expectAccountedFor, POOL, startPodCluster } from './pod-cluster.ts';

const FLOOR = 5;
const TENANTS = 30;
const NODES = 6;
const PODS_PER_NODE = 6;
const MORE = { waitMax: '5m' };

test('thirty tenants in a cold pool are one intent of 35 pods; they are held, served as nodes arrive, none twice', async ({ annotate }) => {
  const { isLong } = readKubernetesTestConfig();
  const arriveMs = isLong ? 30_000 : 0;
  await using cluster = await startPodCluster({
    nodes: { initial: 0, podsPerNode: PODS_PER_NODE },
    pool: { floor: 0, ...MORE },
  });
  const { muster, world, workers, played } = cluster;
  await muster.admin({ type: 'hold', pool: POOL });
  const waiting = Array.from({ length: TENANTS }, (_, n) =>
    muster.reserve(POOL, { org: `org-${n}`, requestId: `r-${n}`, waitMs: 240_000, ttlMs: 600_000 }, 250_000),
  );
  await eventually(async () => expect(await muster.pool(POOL)).toMatchObject({ waiting: TENANTS, warm: 0 }), SLOW);
  // While it is held nothing is decided: the floor of five and the thirty are decided at once.
  await muster.admin({ type: 'apply', yaml: cluster.configWith({ floor: FLOOR, ...MORE }) });
  const resumedMs = performance.now();
  await muster.admin({ type: 'resume', pool: POOL });
  await eventually(() => expect(cluster.seen.size).toBe(FLOOR + TENANTS), { ...SLOW, everyMs: 5 });
  const createdMs = performance.now() - resumedMs;

  // Nothing has a node yet: all are held, and nobody makes more.
  await eventually(
    async () => expect(await muster.pool(POOL)).toMatchObject({ spawning: FLOOR + TENANTS, waiting: TENANTS, warm: 0 }),
    SLOW,
  );
  expect(workers.started).toEqual([]);

  // One node after the other, when those before are full.
  await passed(arriveMs);
  for (let nodes = 1; nodes <= NODES; nodes += 1) {
    played?.addNode();
    const room = Math.min(nodes * PODS_PER_NODE, FLOOR + TENANTS);
    await eventually(() => expect(workers.started.length).toBeGreaterThanOrEqual(room), SLOW);
  }
  const answers = await Promise.all(waiting);
  const servedMs = performance.now() - resumedMs;
  expect(answers.filter(({ ok }) => !ok)).toEqual([]);
  expect(new Set(answers.map((answer) => answer.ok && answer.reservation.slot)).size).toBe(TENANTS);
  expect(answers.every((answer) => answer.ok && /^http:\/\/10\.244\.\d+\.\d+:8080$/.test(answer.reservation.endpoint))).toBe(true);
  await eventually(
    async () => expect(await muster.pool(POOL)).toMatchObject({ warm: FLOOR, reserved: TENANTS, spawning: 0, draining: 0 }),
    SLOW,
  );
  const { intents } = await muster.admin({ type: 'intents', pool: POOL });
  expect(intents.map(({ kind, slots }) => [kind, slots[POOL]])).toEqual([['demand', FLOOR + TENANTS]]);
  expect(workers.started).toHaveLength(FLOOR + TENANTS);
  expect(cluster.seen.size).toBe(FLOOR + TENANTS);
  await expectAccountedFor(cluster);
  // The orgs' labels, for network policies.
  await eventually(async () => {
    const orgs = (await world.objects('pods'))
      .map(({ metadata }) => metadata.labels?.['muster.dev/org'])
      .filter((org) => org !== undefined);
    expect(new Set(orgs).size).toBe(TENANTS);
  }, SLOW);
  await annotate(
    `35 pods ${Math.round(createdMs)} ms after the resume, 30 tenants served after ${Math.round(servedMs)} ms (nodes after ${arriveMs} ms)`,
  );
});
