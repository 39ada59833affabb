// DuckDB workers as pods whose command really runs: they listen where the pod is reached and say so, and serve their tenant.
import { fileURLToPath } from 'node:url';
import { eventually, ProcessPods, tempDir } from '@muster/testkit';
import { expect, test } from 'vitest';
import { SLOW } from '../integration/support/cluster.ts';
import { readKubernetesTestConfig } from './config.ts';
import { expectAccountedFor, POOL, startPodCluster } from './pod-cluster.ts';

const MAIN = fileURLToPath(new URL('../../services/duckdb-worker/src/main.ts', import.meta.url));
const FLOOR = 2;

test('a tenant queries a worker at the address of its pod, with the token of its reservation and no other', async ({ skip }) => {
  if (readKubernetesTestConfig().kubelet !== 'simulated') return skip('a real node has no such program');
  await using folder = await tempDir();
  const container = {
    name: 'worker',
    image: 'muster/duckdb-worker',
    command: [process.execPath, MAIN],
    ports: [{ name: 'http', containerPort: 8080 }],
    env: [
      { name: 'MUSTER_WORKER_HOST', value: '0.0.0.0' },
      { name: 'MUSTER_WORKER_ADVERTISE', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'MUSTER_DATA_DIR', value: folder.path },
    ],
  };
  await using cluster = await startPodCluster({
    nodes: { initial: 1 },
    pool: { floor: FLOOR, recycle: 'single-use', podTemplate: { containers: [container] } },
    runtime: (access) => new ProcessPods({ access, logFolder: folder.path }),
  });
  const { muster, world } = cluster;
  await muster.warm(POOL, FLOOR);
  const answer = await muster.reserve(POOL, { org: 'acme', requestId: 'r1' });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  const { endpoint, token, slot } = answer.reservation;
  const pod = (await world.pod(slot)) as unknown as { readonly status: { readonly podIP: string } };
  expect(endpoint).toMatch(new RegExp(`^http://${pod.status.podIP}:\\d+$`));
  const query = (bearer: string) =>
    fetch(`${endpoint}/query`, {
      method: 'POST',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ sql: 'select 42 as answer' }),
    });
  expect((await query('another')).status).toBe(401);
  const response = await query(token);
  expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('42')]);
  expect(await muster.settle('release', answer.reservation)).toMatchObject({ ok: true });
  await muster.warm(POOL, FLOOR);
  await eventually(async () => expect(await world.names('pods')).not.toContain(slot), SLOW);
  await expectAccountedFor(cluster);
});
