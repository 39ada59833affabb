// A slot's pod and Secret, from the pool's template. What the template says stands, but for what Muster sets itself; what
// contradicts that was refused when the configuration was read (packages/protocol/src/config/pod-template.ts).

import type { WorkerSpec } from '@muster/ports';
import { workerContainerAt } from '@muster/protocol';
import { slotLabels } from '../labels.ts';
import type { Container, EnvVar, Pod, PodSpec, Secret } from '../objects.ts';

/** What is the same for all pods of a cluster. */
export interface PodDefaults {
  readonly cluster: string;
  readonly namespace: string;
  /** Where workers find NATS: addresses, separated by commas. */
  readonly natsUrl: string;
}

const TOKEN_KEY = 'token';
const NATS_KEY = 'nats-url';
const CREDENTIALS_KEY = 'nats-creds';
/** Seconds; more than the 8 s that a worker takes to drain by default. */
const GRACE_SECONDS = 10;

/** The pod of a slot. */
export function buildPod(worker: WorkerSpec, defaults: PodDefaults): Pod {
  const { metadata = {}, spec } = worker.template.podTemplate ?? { spec: {} };
  const labels = { ...(metadata.labels as Readonly<Record<string, string>> | undefined), ...slotLabels(defaults.cluster, worker) };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: worker.slot, namespace: defaults.namespace, labels },
    spec: buildSpec(spec as unknown as PodSpec, worker, defaults),
  };
}

/** The Secret of a slot. The pod owns it: where the cluster collects garbage it goes with the pod. */
export function buildSecret(worker: WorkerSpec, podUid: string, defaults: PodDefaults): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: worker.slot,
      namespace: defaults.namespace,
      labels: slotLabels(defaults.cluster, worker),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: worker.slot, uid: podUid }],
    },
    type: 'Opaque',
    immutable: true,
    data: {
      [TOKEN_KEY]: base64(worker.token),
      ...(isSecretUrl(defaults.natsUrl) ? { [NATS_KEY]: base64(defaults.natsUrl) } : {}),
      ...(worker.natsCredentials === undefined ? {} : { [CREDENTIALS_KEY]: base64(worker.natsCredentials) }),
    },
  };
}

function buildSpec(template: PodSpec, worker: WorkerSpec, defaults: PodDefaults): PodSpec {
  const at = workerContainerAt(template.containers);
  const isWindows = template.os?.name === 'windows';
  const containers = template.containers.map((container, index): Container => {
    const secured = isWindows ? container : restricted(container, template);
    return index === at ? { ...secured, env: [...(container.env ?? []), ...environment(worker, defaults)] } : secured;
  });
  return {
    enableServiceLinks: false,
    terminationGracePeriodSeconds: GRACE_SECONDS,
    ...template,
    ...(isWindows ? {} : { securityContext: { ...podSecurity(template), ...template.securityContext } }),
    ...(template.initContainers === undefined
      ? {}
      : { initContainers: isWindows ? template.initContainers : template.initContainers.map((one) => restricted(one, template)) }),
    containers,
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
  };
}

function environment(worker: WorkerSpec, defaults: PodDefaults): EnvVar[] {
  const fromSecret = (name: string, key: string): EnvVar => ({ name, valueFrom: { secretKeyRef: { name: worker.slot, key } } });
  return [
    ...Object.entries(worker.template.env).map(([name, value]) => ({ name, value })),
    isSecretUrl(defaults.natsUrl) ? fromSecret('MUSTER_NATS_URL', NATS_KEY) : { name: 'MUSTER_NATS_URL', value: defaults.natsUrl },
    { name: 'MUSTER_CLUSTER', value: defaults.cluster },
    { name: 'MUSTER_SLOT', value: worker.slot },
    { name: 'MUSTER_SHARD', value: worker.shard },
    fromSecret('MUSTER_TOKEN', TOKEN_KEY),
    ...(worker.natsCredentials === undefined ? [] : [fromSecret('MUSTER_NATS_CREDS', CREDENTIALS_KEY)]),
  ];
}

/** What the restricted pod security standard wants of a pod. */
function podSecurity(template: PodSpec): PodSpec['securityContext'] {
  const isRoot = template.securityContext?.runAsUser === 0;
  return { ...(isRoot ? {} : { runAsNonRoot: true }), seccompProfile: { type: 'RuntimeDefault' } };
}

/** And of a container; what the template asks for is not taken back, nor what would contradict it added. */
function restricted(container: Container, pod: PodSpec): Container {
  const own = container.securityContext ?? {};
  const isPowerful =
    own.privileged === true ||
    (own.capabilities?.add ?? []).some((name) => name === 'SYS_ADMIN' || name === 'CAP_SYS_ADMIN' || name === 'ALL');
  const isRoot = own.runAsUser === 0 && own.runAsNonRoot === undefined && pod.securityContext?.runAsNonRoot === undefined;
  return {
    ...container,
    securityContext: {
      ...(isPowerful ? {} : { allowPrivilegeEscalation: false }),
      ...(isRoot ? { runAsNonRoot: false } : {}),
      ...own,
      ...(own.privileged === true ? {} : { capabilities: { drop: ['ALL'], ...own.capabilities } }),
    },
  };
}

/** An address with a name and a password is not for everybody who may look at pods. */
function isSecretUrl(url: string): boolean {
  return url.includes('@');
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
