// Who asks over HTTP may go away while the answer is made (W1): a waiter is no waiter any more, a grant is taken back.
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

const CONFIG = 'pools: { demo: { driver: simulated, floor: 1, recycle: single-use, activation: 5s } }';

async function slowCluster() {
  const told: string[] = [];
  let end = (): void => undefined;
  const cluster = await MemoryCluster.start({
    config: CONFIG,
    handlers: ({ slot }) => ({
      onActivate: () => {
        told.push(slot);
        return new Promise<void>((resolve) => {
          end = resolve;
        });
      },
    }),
  });
  await cluster.untilWarm('demo', 1);
  return { cluster, told, end: () => end(), requests: cluster.any.pools.requests };
}

test.each([
  [undefined, 0],
  ['its-own', 1],
])('a grant for a sender that has gone, of a request with the id %s, leaves %i reserved', async (requestId, left) => {
  const { cluster, told, end, requests } = await slowCluster();
  let isThere = true;
  const asked = requests.reserve('demo', { org: 'acme', ...(requestId === undefined ? {} : { requestId }) }, () => isThere);
  await cluster.clock.runUntil(() => told.length === 1);
  isThere = false;
  end();
  expect(await cluster.clock.resolve(asked)).toMatchObject({ ok: true });
  await cluster.clock.run(2_000);
  expect(cluster.pool('demo').reserved).toBe(left);
});

test('a sender that has gone waits no longer than one that fell silent', async () => {
  const { cluster, told, end, requests } = await slowCluster();
  const first = requests.reserve('demo', { org: 'acme' });
  await cluster.clock.runUntil(() => told.length === 1);
  end();
  await cluster.clock.resolve(first);
  cluster.driver.isFull = true;
  let isThere = true;
  const asked = requests.reserve('demo', { org: 'other', waitMs: 25_000 }, () => isThere);
  await cluster.clock.run(6_500);
  expect(cluster.pool('demo').waiting).toBe(1);
  isThere = false;
  const sinceMs = cluster.clock.monotonicMs();
  expect(await cluster.clock.resolve(asked)).toMatchObject({ ok: false, miss: {} });
  expect(cluster.clock.monotonicMs() - sinceMs).toBeLessThan(8_000);
  await cluster.clock.runUntil(() => cluster.pool('demo').waiting === 0);
});
