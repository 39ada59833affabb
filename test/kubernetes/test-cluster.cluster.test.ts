// The parts of the API that everything else here stands on, on the cluster that was given.
import { eventually, type KubernetesObject } from '@muster/testkit';
import { expect, test } from 'vitest';
import { openTestCluster, type TestCluster } from './test-cluster.ts';

function podNamed(name: string, image: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { suite: 'muster' } },
    spec: { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [{ name: 'worker', image }] },
  };
}

async function findPod({ api, path }: TestCluster, name: string): Promise<KubernetesObject | undefined> {
  return (await api.call('GET', `${path}/pods/${name}`, {}, [404])) as KubernetesObject | undefined;
}

function isReady(pod: KubernetesObject | undefined): boolean {
  const { conditions = [] } = (pod?.['status'] ?? {}) as {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

test('a pod is placed, runs with an address, and is gone after it was deleted', async () => {
  await using cluster = await openTestCluster();
  await cluster.runPods({ story: () => ({ startMs: 1 }) });
  const { api, path, image } = cluster;
  await api.call('POST', `${path}/pods`, { body: podNamed('one', image) });
  await eventually(async () => isReady(await findPod(cluster, 'one')), { timeoutMs: 60_000 });
  const pod = await findPod(cluster, 'one');
  expect(pod).toMatchObject({ status: { phase: 'Running', podIP: expect.stringMatching(/^[0-9a-f.:]+$/) as string } });
  await api.call('DELETE', `${path}/pods/one`, { body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 1 } });
  await eventually(async () => (await findPod(cluster, 'one')) === undefined, { timeoutMs: 60_000 });
});

test('a service account has the rights of its role, and no others', async () => {
  await using cluster = await openTestCluster();
  const { api, path, namespace } = cluster;
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const meta = (kind: string, apiVersion = 'rbac.authorization.k8s.io/v1') => ({ apiVersion, kind, metadata: { name: 'reader' } });
  await api.call('POST', `${path}/serviceaccounts`, { body: meta('ServiceAccount', 'v1') });
  await api.call('POST', `${rbac}/roles`, {
    body: { ...meta('Role'), rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] },
  });
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' };
  const subjects = [{ kind: 'ServiceAccount', name: 'reader', namespace }];
  await api.call('POST', `${rbac}/rolebindings`, { body: { ...meta('RoleBinding'), roleRef, subjects } });
  const token = await cluster.issueToken('reader');
  // A real server's authorizer hears of the binding a moment later.
  await eventually(async () => expect((await api.request('GET', `${path}/pods`, { token })).status).toBe(200));
  const refused = await api.request('POST', `${path}/pods`, { token, body: podNamed('two', cluster.image) });
  expect(refused.body).toMatchObject({
    code: 403,
    reason: 'Forbidden',
    message: `pods is forbidden: User "system:serviceaccount:${namespace}:reader" cannot create resource "pods" in API group "" in the namespace "${namespace}"`,
  });
});

test('nothing is left of a namespace that was used', async () => {
  await using outer = await openTestCluster();
  const cluster = await openTestCluster(outer);
  try {
    await cluster.runPods({ story: () => ({ startMs: 1 }) });
    await cluster.api.call('POST', `${cluster.path}/pods`, { body: podNamed('left', cluster.image) });
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'left' }, stringData: { token: 'x' } };
    await cluster.api.call('POST', `${cluster.path}/secrets`, { body: secret });
    await eventually(async () => isReady(await findPod(cluster, 'left')), { timeoutMs: 60_000 });
  } finally {
    await cluster[Symbol.asyncDispose]();
  }
  expect((await outer.api.request('GET', cluster.path)).status).toBe(404);
  expect((await outer.api.request('GET', outer.path)).status).toBe(200);
});
