import type { PodTemplate } from '@muster/domain';
import type { WorkerSpec } from '@muster/ports';
import { expect, test } from 'vitest';
import { orgLabel } from '../labels.ts';
import { buildPod, buildSecret } from './build-pod.ts';

const defaults = { cluster: 'demo', namespace: 'workers', natsUrl: 'nats://nats:4222' };
function worker(podTemplate: PodTemplate, env: Readonly<Record<string, string>> = {}): WorkerSpec {
  return {
    slot: 'duckdb-1',
    shard: 'duckdb',
    pool: 'duckdb',
    template: { env, memoryBytes: 1, podTemplate },
    placement: {},
    token: 'secret-token',
  };
}
function podOf(spec: Readonly<Record<string, unknown>>, metadata?: Readonly<Record<string, unknown>>, env = {}) {
  return buildPod(worker(metadata === undefined ? { spec } : { metadata, spec }, env), defaults);
}
const container = { name: 'worker', image: 'worker:1' };

test('a pod has the name, the labels and the environment of its slot', () => {
  const pod = podOf({ containers: [container] }, undefined, { LOG_LEVEL: 'info' });
  expect(pod.metadata).toEqual({
    name: 'duckdb-1',
    namespace: 'workers',
    labels: {
      'app.kubernetes.io/managed-by': 'muster',
      'muster.dev/cluster': 'demo',
      'muster.dev/pool': 'duckdb',
      'muster.dev/shard': 'duckdb',
      'muster.dev/slot': 'duckdb-1',
    },
  });
  expect(pod.spec?.containers[0]?.env).toEqual([
    { name: 'LOG_LEVEL', value: 'info' },
    { name: 'MUSTER_NATS_URL', value: 'nats://nats:4222' },
    { name: 'MUSTER_CLUSTER', value: 'demo' },
    { name: 'MUSTER_SLOT', value: 'duckdb-1' },
    { name: 'MUSTER_SHARD', value: 'duckdb' },
    { name: 'MUSTER_TOKEN', valueFrom: { secretKeyRef: { name: 'duckdb-1', key: 'token' } } },
  ]);
  expect(pod.spec).toMatchObject({ restartPolicy: 'Never', automountServiceAccountToken: false, enableServiceLinks: false });
  expect(JSON.stringify(pod)).not.toContain('secret-token');
});

test('nothing of a template is dropped', () => {
  const spec = {
    containers: [
      { name: 'sidecar', image: 's:1', env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 1 }] },
      { ...container, env: [{ name: 'B', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }], resources: { limits: { cpu: '1' } } },
    ],
    initContainers: [{ name: 'init', image: 'i:1', command: ['true'] }],
    volumes: [{ name: 'data', emptyDir: {} }],
    terminationGracePeriodSeconds: 90,
    enableServiceLinks: true,
    serviceAccountName: 'worker',
    tolerations: [{ operator: 'Exists' }],
    topologySpreadConstraints: [{ maxSkew: 1 }],
    securityContext: { fsGroup: 1000 },
  };
  const metadata = { labels: { team: 'data' }, annotations: { 'karpenter.sh/do-not-disrupt': 'true' }, finalizers: ['a/b'] };
  const pod = podOf(spec, metadata);
  const [sidecar, template] = spec.containers;
  const [, built] = pod.spec?.containers ?? [];
  expect(pod).toMatchObject({ metadata, spec: { ...spec, containers: [sidecar, { ...template, env: built?.env }] } });
  expect(built?.env?.[0]).toEqual(template?.env?.[0]);
  expect(built?.env?.length).toBe(1 + 5);
  expect(pod.spec?.containers[0]?.env).toEqual([{ name: 'A', value: '1' }]);
});

test('the restricted standard is the default, for every container', () => {
  const pod = podOf({ containers: [container], initContainers: [{ name: 'init', image: 'i' }] });
  expect(pod.spec?.securityContext).toEqual({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  const restricted = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  expect(pod.spec?.containers[0]?.securityContext).toEqual(restricted);
  expect(pod.spec?.initContainers?.[0]?.securityContext).toEqual(restricted);
});

test.each([
  ['privileged', { privileged: true }, { privileged: true }],
  ['SYS_ADMIN', { capabilities: { add: ['SYS_ADMIN'] } }, { capabilities: { add: ['SYS_ADMIN'], drop: ['ALL'] } }],
  ['root', { runAsUser: 0 }, { runAsUser: 0, runAsNonRoot: false, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }],
  [
    'other drops',
    { allowPrivilegeEscalation: true, capabilities: { drop: ['NET_RAW'] } },
    { allowPrivilegeEscalation: true, capabilities: { drop: ['NET_RAW'] } },
  ],
])('a template that says otherwise is followed, and nothing is added that contradicts it: %s', (_what, own, expected) => {
  expect(podOf({ containers: [{ ...container, securityContext: own }] }).spec?.containers[0]?.securityContext).toEqual(expected);
});

test('a pod that runs as root says so itself; a Windows pod gets none of it', () => {
  expect(podOf({ containers: [container], securityContext: { runAsUser: 0 } }).spec?.securityContext).toEqual({
    runAsUser: 0,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  const windows = podOf({ containers: [container], os: { name: 'windows' } });
  expect(windows.spec?.securityContext).toBeUndefined();
  expect(windows.spec?.containers[0]?.securityContext).toBeUndefined();
});

test('the Secret has the token, and the pod owns it', () => {
  const secret = buildSecret(worker({ spec: { containers: [container] } }), 'uid-1', defaults);
  expect(secret.metadata?.ownerReferences).toEqual([{ apiVersion: 'v1', kind: 'Pod', name: 'duckdb-1', uid: 'uid-1' }]);
  expect(secret.metadata?.labels).toEqual(podOf({ containers: [container] }).metadata?.labels);
  expect(secret.data).toEqual({ token: Buffer.from('secret-token').toString('base64') });
});

test('an address of NATS with a password is in the Secret, not in the pod', () => {
  const natsUrl = 'nats://worker:pass@nats:4222';
  const spec = worker({ spec: { containers: [container] } });
  const pod = buildPod(spec, { ...defaults, natsUrl });
  expect(JSON.stringify(pod)).not.toContain('pass@');
  expect(pod.spec?.containers[0]?.env).toContainEqual({
    name: 'MUSTER_NATS_URL',
    valueFrom: { secretKeyRef: { name: 'duckdb-1', key: 'nats-url' } },
  });
  expect(buildSecret(spec, 'u', { ...defaults, natsUrl }).data?.['nats-url']).toBe(Buffer.from(natsUrl).toString('base64'));
});

test('credentials for NATS are in the Secret, where NATS asks for some', () => {
  const spec = { ...worker({ spec: { containers: [container] } }), natsCredentials: 'jwt and seed' };
  const pod = buildPod(spec, defaults);
  expect(JSON.stringify(pod)).not.toContain('jwt and seed');
  const valueFrom = { secretKeyRef: { name: 'duckdb-1', key: 'nats-creds' } };
  expect(pod.spec?.containers[0]?.env).toContainEqual({ name: 'MUSTER_NATS_CREDS', valueFrom });
  expect(buildSecret(spec, 'u', defaults).data?.['nats-creds']).toBe(Buffer.from('jwt and seed').toString('base64'));
});

test.each([
  ['acme', 'acme'],
  ['A_b-c', 'A_b-c'],
  ['-acme', /^org-[0-9a-f]{40}$/],
  ['acme_', /^org-[0-9a-f]{40}$/],
  ['x'.repeat(64), /^org-[0-9a-f]{40}$/],
])('the label of org %s is a valid one', (org, expected) => {
  expect(orgLabel(org)).toMatch(expected);
});
