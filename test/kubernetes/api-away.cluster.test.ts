// The API server goes away in the middle of everything, and comes back.
import type { ReserveAnswer } from '@muster/protocol';
import { eventually } from '@muster/testkit';
import { expect, test } from 'vitest';
import { SLOW } from '../integration/support/cluster.ts';
import { readKubernetesTestConfig } from './config.ts';
import { expectAccountedFor, POOL, startPodCluster } from './pod-cluster.ts';

const FLOOR = 12;

function granted(answer: ReserveAnswer) {
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  return answer.reservation;
}

test('the API server is away: warm workers are reserved as ever; creates and deletes are caught up after, none twice', async ({
  annotate,
}) => {
  const { isLong } = readKubernetesTestConfig();
  const awayMs = isLong ? 120_000 : 8_000;
  await using cluster = await startPodCluster({
    nodes: { initial: 5 },
    pool: { floor: FLOOR, recycle: 'single-use', breaker: { failures: 2 } },
  });
  const { muster, way, world } = cluster;
  await muster.warm(POOL, FLOOR);
  const kept = granted(await muster.reserve(POOL, { org: 'kept', requestId: 'kept', ttlMs: 600_000 }));
  await muster.warm(POOL, FLOOR, 1);

  way.cut();
  const sinceMs = performance.now();
  const tookMs: number[] = [];
  for (let n = 0; n < FLOOR - 2; n += 1) {
    const startedMs = performance.now();
    // Nobody waits for anything: it is warm, and a request that has to wait is refused.
    const answer = await muster.reserve(POOL, { org: `org-${n}`, requestId: `r-${n}`, waitMs: 0 });
    expect(answer).toMatchObject({ ok: true, source: 'warm' });
    tookMs.push(performance.now() - startedMs);
    const reservation = granted(answer);
    expect(await muster.settle('release', reservation)).toMatchObject({ ok: true });
  }
  // Ten pods are to go and ten to come, and nobody can be told.
  await eventually(async () => expect(await muster.pool(POOL)).toMatchObject({ draining: FLOOR - 2, spawning: FLOOR - 2, warm: 2 }), SLOW);
  const pods = await world.names('pods');
  await eventually(() => performance.now() - sinceMs > awayMs, { timeoutMs: awayMs + 10_000, everyMs: 100 });
  expect(await world.names('pods')).toEqual(pods);
  expect(await muster.settle('renew', kept)).toMatchObject({ ok: true });
  expect(await muster.pool(POOL)).toMatchObject({ isBreakerOpen: false, warm: 2 });

  way.mend();
  const backMs = performance.now();
  await eventually(async () => expect(await muster.pool(POOL)).toMatchObject({ warm: FLOOR, reserved: 1, draining: 0, spawning: 0 }), SLOW);
  const caughtUpMs = performance.now() - backMs;
  await expectAccountedFor(cluster);
  expect(cluster.seen.size).toBe(FLOOR + 1 + FLOOR - 2);
  expect(await muster.settle('renew', kept)).toMatchObject({ ok: true });
  await annotate(
    `away for ${awayMs} ms; slowest of ${tookMs.length} reservations ${Math.round(Math.max(...tookMs))} ms; caught up ${Math.round(caughtUpMs)} ms after`,
  );
});
