// What the server refuses in a pod, in the order in which it looks.
import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject, type KubernetesObject, listAt, objectAt } from '../object.ts';
import { tryQuantity } from '../quantity.ts';
import type { Cause } from '../status-error.ts';
import { absent, checkLabelName, checkSubdomain, duplicate, notAllowed, required, unsupported, wrong } from '../validation.ts';

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const VARIABLE = /^[ -<>-~]+$/;

/** Causes for everything that is wrong in the spec, after defaults. */
export function checkPodSpec(spec: JsonObject): readonly Cause[] {
  const volumes = listAt(spec, 'volumes');
  const containers = listAt(spec, 'containers');
  const initContainers = listAt(spec, 'initContainers');
  const volumeNames = new Set(volumes.map((one) => objectAt(one)['name']));
  const seen = new Set<unknown>();
  const causes: Cause[] = [...checkVolumes(volumes)];
  if (containers.length === 0) causes.push(required('spec.containers'));
  containers.forEach((one, at) => causes.push(...checkContainer(`spec.containers[${at}]`, objectAt(one), seen, volumeNames)));
  initContainers.forEach((one, at) => causes.push(...checkContainer(`spec.initContainers[${at}]`, objectAt(one), seen, volumeNames)));
  causes.push(...checkOneOf('spec.restartPolicy', spec['restartPolicy'], RESTART_POLICIES));
  causes.push(...checkOneOf('spec.dnsPolicy', spec['dnsPolicy'], DNS_POLICIES));
  const grace = spec['terminationGracePeriodSeconds'];
  if (typeof grace === 'number' && grace < 0)
    causes.push(wrong('spec.terminationGracePeriodSeconds', grace, 'must be greater than or equal to 0'));
  const deadline = spec['activeDeadlineSeconds'];
  if (typeof deadline === 'number' && deadline < 1)
    causes.push(wrong('spec.activeDeadlineSeconds', deadline, 'must be between 1 and 2147483647, inclusive'));
  const account = spec['serviceAccountName'];
  if (typeof account === 'string' && account !== '') causes.push(...checkSubdomain('spec.serviceAccountName', account));
  return causes;
}

function checkVolumes(volumes: readonly unknown[]): readonly Cause[] {
  const seen = new Set<unknown>();
  return volumes.flatMap((one, at) => {
    const name = objectAt(one)['name'];
    const field = `spec.volumes[${at}].name`;
    if (typeof name !== 'string' || name === '') return [required(field)];
    const causes = seen.has(name) ? [duplicate(field, name)] : checkLabelName(field, name);
    seen.add(name);
    return causes;
  });
}

function checkContainer(field: string, container: JsonObject, seen: Set<unknown>, volumeNames: ReadonlySet<unknown>): readonly Cause[] {
  const { name, image } = container as { readonly name?: unknown; readonly image?: unknown };
  const causes: Cause[] = [];
  if (typeof name !== 'string' || name === '') causes.push(required(`${field}.name`));
  else if (seen.has(name)) causes.push(duplicate(`${field}.name`, name));
  else causes.push(...checkLabelName(`${field}.name`, name));
  seen.add(name);
  if (typeof image !== 'string' || image === '') causes.push(required(`${field}.image`));
  else if (image !== image.trim()) causes.push(wrong(`${field}.image`, image, 'must not have leading or trailing whitespace'));
  causes.push(...checkPorts(`${field}.ports`, listAt(container, 'ports')));
  causes.push(...checkVariables(`${field}.env`, listAt(container, 'env')));
  listAt(container, 'volumeMounts').forEach((one, at) => {
    const mount = objectAt(one);
    if (typeof mount['name'] !== 'string' || mount['name'] === '') causes.push(required(`${field}.volumeMounts[${at}].name`));
    else if (!volumeNames.has(mount['name'])) causes.push(absent(`${field}.volumeMounts[${at}].name`, mount['name']));
    if (typeof mount['mountPath'] !== 'string' || mount['mountPath'] === '')
      causes.push(required(`${field}.volumeMounts[${at}].mountPath`));
  });
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    if (isObject(container[probe])) causes.push(...checkProbe(`${field}.${probe}`, container[probe]));
  }
  if (image !== undefined) causes.push(...checkOneOf(`${field}.imagePullPolicy`, container['imagePullPolicy'], PULL_POLICIES));
  causes.push(...checkResources(`${field}.resources`, objectAt(container, 'resources')));
  return causes;
}

function checkPorts(field: string, ports: readonly unknown[]): readonly Cause[] {
  return ports.flatMap((one, at) => {
    const port = objectAt(one);
    const number = port['containerPort'];
    return [
      ...(number === undefined || number === 0
        ? [required(`${field}[${at}].containerPort`)]
        : checkPortNumber(`${field}[${at}].containerPort`, number)),
      ...checkOneOf(`${field}[${at}].protocol`, port['protocol'], PROTOCOLS),
    ];
  });
}

function checkPortNumber(field: string, port: unknown): readonly Cause[] {
  return typeof port === 'number' && (port < 1 || port > 65535) ? [wrong(field, port, 'must be between 1 and 65535, inclusive')] : [];
}

function checkVariables(field: string, variables: readonly unknown[]): readonly Cause[] {
  return variables.flatMap((one, at) => {
    const variable = objectAt(one);
    const name = variable['name'];
    if (typeof name !== 'string' || name === '') return [required(`${field}[${at}].name`)];
    const causes: Cause[] = [];
    if (!VARIABLE.test(name)) {
      causes.push(
        wrong(
          `${field}[${at}].name`,
          name,
          "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
      );
    }
    const from = variable['valueFrom'];
    if (!isObject(from)) return causes;
    if (variable['value'] !== undefined && variable['value'] !== '') {
      causes.push(wrong(`${field}[${at}].valueFrom`, '', 'may not be specified when `value` is not empty'));
    }
    const source = objectAt(from, 'secretKeyRef');
    if ('secretKeyRef' in from && (typeof source['key'] !== 'string' || source['key'] === '')) {
      causes.push(required(`${field}[${at}].valueFrom.secretKeyRef.key`));
    }
    return causes;
  });
}

function checkProbe(field: string, probe: JsonObject): readonly Cause[] {
  const actions = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter((one) => probe[one] !== undefined);
  const causes: Cause[] = [];
  if (actions.length === 0) causes.push(required(field, 'must specify a handler type'));
  if (actions.length > 1) causes.push(notAllowed(`${field}.${actions[1]}`, 'may not specify more than 1 handler type'));
  for (const number of ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold']) {
    const value = probe[number];
    if (typeof value === 'number' && value < 0) causes.push(wrong(`${field}.${number}`, value, 'must be greater than or equal to 0'));
  }
  const port = objectAt(probe, 'httpGet')['port'] ?? objectAt(probe, 'tcpSocket')['port'];
  return [...causes, ...checkPortNumber(`${field}.${actions[0]}.port`, port)];
}

function checkResources(field: string, resources: JsonObject): readonly Cause[] {
  const { limits, requests } = { limits: objectAt(resources, 'limits'), requests: objectAt(resources, 'requests') };
  const negative = Object.entries({ limits, requests }).flatMap(([kind, amounts]) =>
    Object.entries(amounts).flatMap(([what, amount]) =>
      (tryQuantity(amount) ?? 0) < 0 ? [wrong(`${field}.${kind}[${what}]`, amount, 'must be greater than or equal to 0')] : [],
    ),
  );
  const above = Object.entries(requests).flatMap(([what, amount]) => {
    const limit = tryQuantity(limits[what]);
    return limit !== undefined && (tryQuantity(amount) ?? 0) > limit
      ? [wrong(`${field}.requests`, amount, `must be less than or equal to ${what} limit of ${String(limits[what])}`)]
      : [];
  });
  return [...negative, ...above];
}

function checkOneOf(field: string, value: unknown, supported: readonly string[]): readonly Cause[] {
  if (value === undefined || value === '') return [required(field)];
  return supported.some((one) => one === value) ? [] : [unsupported(field, value, supported)];
}

const MUTABLE_TEXT =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** What may not be changed once the pod is there. */
export function checkPodUpdate(previous: KubernetesObject, next: KubernetesObject): readonly Cause[] {
  const before = objectAt(previous, 'spec');
  const after = objectAt(next, 'spec');
  if (listAt(before, 'containers').length !== listAt(after, 'containers').length) {
    return [notAllowed('spec.containers', 'pod updates may not add or remove containers')];
  }
  const kept = listAt(after, 'tolerations');
  const areTolerationsKept = listAt(before, 'tolerations').every((one) => kept.some((other) => isDeepStrictEqual(one, other)));
  if (areTolerationsKept && isDeepStrictEqual(withoutMutable(before), withoutMutable(after))) return [];
  return [notAllowed('spec', MUTABLE_TEXT)];
}

function withoutMutable(spec: JsonObject): JsonObject {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...rest } = spec;
  const withoutImage = (container: unknown): unknown => ({ ...objectAt(container), image: undefined });
  return {
    ...rest,
    containers: listAt(spec, 'containers').map(withoutImage),
    initContainers: listAt(spec, 'initContainers').map(withoutImage),
  };
}
