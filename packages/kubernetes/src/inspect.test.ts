import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SystemClock } from '@muster/ports';
import { type KubernetesDouble, startKubernetesDouble, tempDir } from '@muster/testkit';
import { expect, test } from 'vitest';
import { inspectKubernetes, KUBERNETES_RIGHTS } from './inspect.ts';

const clock = new SystemClock();
const RBAC = readFileSync(new URL('../../../deploy/kubernetes/rbac.yaml', import.meta.url), 'utf8');

/** As seen by whoever has the token. */
async function seenBy(double: KubernetesDouble, token: string, namespace = 'workers') {
  await using folder = await tempDir();
  const kubeconfig = join(folder.path, 'kubeconfig');
  await double.writeKubeconfig(kubeconfig, { namespace, token });
  return inspectKubernetes({ kubeconfig }, clock);
}

function grant(double: KubernetesDouble, rights: Readonly<Record<string, readonly string[]>>): string {
  const rules = Object.entries(rights).map(([resource, verbs]) => ({ apiGroups: [''], resources: [resource], verbs: [...verbs] }));
  const metadata = { name: 'muster', namespace: 'workers' };
  double.apply(
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'muster' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'replica' }],
    },
  );
  return double.addUser('replica');
}

test('the rights that are looked for are those that are granted, and no others', () => {
  for (const [resource, verbs] of Object.entries(KUBERNETES_RIGHTS)) {
    expect(RBAC).toMatch(new RegExp(`resources: \\[${resource}\\]\\n\\s+verbs: \\[${verbs.join(', ')}\\]`));
  }
  expect(RBAC.match(/resources:/g)).toHaveLength(Object.keys(KUBERNETES_RIGHTS).length);
});

test('an administrator sees the version, the namespace and its quotas', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['workers'] });
  const metadata = { name: 'few', namespace: 'workers' };
  double.apply({
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata,
    spec: { hard: { pods: '4', 'requests.cpu': '2', 'requests.memory': '1Gi', secrets: '0' } },
  });
  const spec = { containers: [{ name: 'worker', image: 'worker', resources: { requests: { cpu: '500m', memory: '512Mi' } } }] };
  double.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'one', namespace: 'workers' }, spec });
  const seen = await seenBy(double, double.adminToken);
  expect(seen).toMatchObject({ kind: 'seen', namespace: 'workers', hasNamespace: true, missing: [] });
  expect(seen).toMatchObject({ version: expect.stringMatching(/^v\d+\./) });
  expect(seen).toMatchObject({
    quotas: [
      { quota: 'few', resource: 'pods', hard: '4', used: '1', share: 0.25 },
      { resource: 'requests.cpu', hard: '2', used: '500m', share: 0.25 },
      { resource: 'requests.memory', hard: '1Gi', used: '512Mi', share: 0.5 },
      { resource: 'secrets', hard: '0', used: '0', share: 1 },
    ],
  });
  expect(await seenBy(double, double.adminToken, 'nowhere')).toMatchObject({ hasNamespace: false });
});

test('a replica has its rights, and cannot see what it does not need; without one of them that one is named', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['workers'] });
  const token = grant(double, KUBERNETES_RIGHTS);
  expect(await seenBy(double, token)).toMatchObject({ kind: 'seen', missing: [], hasNamespace: undefined, quotas: undefined });
  grant(double, { ...KUBERNETES_RIGHTS, pods: ['create', 'get', 'list', 'patch', 'watch'], secrets: ['create', 'get', 'list'] });
  expect(await seenBy(double, token)).toMatchObject({ missing: ['delete pods', 'delete secrets'] });
});

test('who is not known, what is not there and what is not configured are told apart', async () => {
  await using double = await startKubernetesDouble({ namespaces: ['workers'] });
  expect(await seenBy(double, 'nobody')).toMatchObject({ kind: 'unauthenticated' });
  await double.stop();
  expect(await seenBy(double, double.adminToken)).toMatchObject({ kind: 'unreachable' });
  await double.start();
  expect(await inspectKubernetes({ kubeconfig: '/nowhere/kubeconfig' }, clock)).toMatchObject({ kind: 'unconfigured' });
});
