// What the server adds to a pod's spec. A driver that compares what it sent with what it reads back meets all of it.
import { isObject, type JsonObject, listAt, objectAt } from '../object.ts';
import { tryQuantity } from '../quantity.ts';

/** The spec with everything that the server would fill in. */
export function defaultPodSpec(spec: JsonObject): JsonObject {
  const isHostNetwork = spec['hostNetwork'] === true;
  return {
    ...spec,
    ...(Array.isArray(spec['volumes']) ? { volumes: spec['volumes'].map(defaultVolume) } : {}),
    ...(Array.isArray(spec['initContainers'])
      ? { initContainers: spec['initContainers'].map((one) => defaultContainer(one, isHostNetwork)) }
      : {}),
    containers: Array.isArray(spec['containers'])
      ? spec['containers'].map((one) => defaultContainer(one, isHostNetwork))
      : spec['containers'],
    restartPolicy: spec['restartPolicy'] ?? 'Always',
    terminationGracePeriodSeconds: spec['terminationGracePeriodSeconds'] ?? 30,
    dnsPolicy: spec['dnsPolicy'] ?? 'ClusterFirst',
    ...(typeof spec['serviceAccountName'] === 'string' ? { serviceAccount: spec['serviceAccountName'] } : {}),
    securityContext: spec['securityContext'] ?? {},
    schedulerName: spec['schedulerName'] ?? 'default-scheduler',
    tolerations: defaultTolerations(listAt(spec, 'tolerations')),
    priority: spec['priority'] ?? 0,
    enableServiceLinks: spec['enableServiceLinks'] ?? true,
    preemptionPolicy: spec['preemptionPolicy'] ?? 'PreemptLowerPriority',
  };
}

function defaultContainer(container: unknown, isHostNetwork: boolean): unknown {
  if (!isObject(container)) return container;
  const probes = ['livenessProbe', 'readinessProbe', 'startupProbe'].filter((probe) => isObject(container[probe]));
  return {
    ...container,
    ...(Array.isArray(container['ports']) ? { ports: container['ports'].map((port) => defaultPort(port, isHostNetwork)) } : {}),
    ...(Array.isArray(container['env']) ? { env: container['env'].map(defaultVariable) } : {}),
    resources: defaultResources(objectAt(container, 'resources')),
    ...Object.fromEntries(probes.map((probe) => [probe, defaultProbe(objectAt(container, probe))])),
    terminationMessagePath: container['terminationMessagePath'] ?? '/dev/termination-log',
    terminationMessagePolicy: container['terminationMessagePolicy'] ?? 'File',
    ...(typeof container['image'] === 'string'
      ? { imagePullPolicy: container['imagePullPolicy'] ?? pullPolicyOf(container['image']) }
      : {}),
  };
}

/** An image without a tag, or with the tag `latest`, is asked for anew each time. */
function pullPolicyOf(image: string): string {
  if (image.includes('@')) return 'IfNotPresent';
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultPort(port: unknown, isHostNetwork: boolean): unknown {
  if (!isObject(port)) return port;
  return { ...(isHostNetwork ? { hostPort: port['containerPort'] } : {}), ...port, protocol: port['protocol'] ?? 'TCP' };
}

function defaultVariable(variable: unknown): unknown {
  if (!isObject(variable) || !isObject(objectAt(variable, 'valueFrom')['fieldRef'])) return variable;
  const valueFrom = objectAt(variable, 'valueFrom');
  return { ...variable, valueFrom: { ...valueFrom, fieldRef: { apiVersion: 'v1', ...objectAt(valueFrom, 'fieldRef') } } };
}

/** What is limited is requested, unless something else is asked for. */
function defaultResources(resources: JsonObject): JsonObject {
  if (!isObject(resources['limits'])) return resources;
  return { ...resources, requests: { ...resources['limits'], ...objectAt(resources, 'requests') } };
}

function defaultProbe(probe: JsonObject): JsonObject {
  const httpGet = objectAt(probe, 'httpGet');
  const grpc = objectAt(probe, 'grpc');
  return {
    ...probe,
    ...('httpGet' in probe ? { httpGet: { path: '/', scheme: 'HTTP', ...httpGet } } : {}),
    ...('grpc' in probe ? { grpc: { service: '', ...grpc } } : {}),
    timeoutSeconds: probe['timeoutSeconds'] ?? 1,
    periodSeconds: probe['periodSeconds'] ?? 10,
    successThreshold: probe['successThreshold'] ?? 1,
    failureThreshold: probe['failureThreshold'] ?? 3,
  };
}

function defaultVolume(volume: unknown): unknown {
  if (!isObject(volume)) return volume;
  const kinds = ['secret', 'configMap', 'projected', 'downwardAPI'].filter((kind) => isObject(volume[kind]));
  const filled = kinds.map((kind) => [kind, { ...objectAt(volume, kind), defaultMode: objectAt(volume, kind)['defaultMode'] ?? 420 }]);
  const isBare = Object.keys(volume).every((field) => field === 'name');
  return { ...volume, ...Object.fromEntries(filled), ...(isBare ? { emptyDir: {} } : {}) };
}

/** A node that is not ready or not reachable is borne for five minutes (admission DefaultTolerationSeconds). */
function defaultTolerations(tolerations: readonly unknown[]): readonly unknown[] {
  const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (key) =>
      !tolerations.some((one) => isObject(one) && (one['key'] === key || !one['key']) && (one['effect'] === 'NoExecute' || !one['effect'])),
  );
  return [...tolerations, ...missing.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }))];
}

/** Guaranteed: everything is limited, and no more is limited than requested. BestEffort: nothing is asked for. */
export function qosClassOf(spec: JsonObject): string {
  const containers = [...listAt(spec, 'containers'), ...listAt(spec, 'initContainers')];
  const computed = ['cpu', 'memory'];
  const isAsked = (container: unknown, kind: string, what: string): boolean =>
    (tryQuantity(objectAt(container, 'resources', kind)[what]) ?? 0) > 0;
  if (!containers.some((one) => computed.some((what) => isAsked(one, 'requests', what) || isAsked(one, 'limits', what))))
    return 'BestEffort';
  const isGuaranteed = containers.every((one) =>
    computed.every((what) => {
      const limit = tryQuantity(objectAt(one, 'resources', 'limits')[what]);
      return limit !== undefined && limit === tryQuantity(objectAt(one, 'resources', 'requests')[what]);
    }),
  );
  return isGuaranteed ? 'Guaranteed' : 'Burstable';
}
