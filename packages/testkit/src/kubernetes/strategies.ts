// What is particular about each kind: what is filled in, what is refused, what a status update may touch.
import { isDeepStrictEqual } from 'node:util';
import { compact, isObject, type KubernetesObject, makeMetadata, objectAt } from './object.ts';
import { defaultPodSpec, qosClassOf } from './pods/defaults.ts';
import { normalizePodStatus } from './pods/status.ts';
import { checkPodSpec, checkPodUpdate } from './pods/validation.ts';
import type { Resource } from './resources.ts';
import { badRequest, type Cause } from './status-error.ts';
import { notAllowed, required, wrong } from './validation.ts';

export interface Strategy {
  /** Fills in what is left out; the status is the server's to set. */
  prepareCreate(object: KubernetesObject): KubernetesObject;
  /** The next version of a write to the object itself. */
  prepareUpdate(previous: KubernetesObject, next: KubernetesObject): KubernetesObject;
  /** The next version of a write to its status. */
  prepareStatus(previous: KubernetesObject, next: KubernetesObject): KubernetesObject;
  check(object: KubernetesObject): readonly Cause[];
  checkUpdate(previous: KubernetesObject, next: KubernetesObject): readonly Cause[];
}

const plain: Strategy = {
  prepareCreate: (object) => object,
  prepareUpdate: (_previous, next) => next,
  prepareStatus: (previous, next) => withStatus(previous, next),
  check: () => [],
  checkUpdate: () => [],
};

/** Metadata other than labels and annotations, and everything but the status, is as it was. */
function withStatus(previous: KubernetesObject, next: KubernetesObject): KubernetesObject {
  const { labels, annotations } = next.metadata;
  return compact({ ...previous, metadata: makeMetadata({ ...previous.metadata, labels, annotations }), status: next['status'] });
}

function withoutStatus({ status: _status, ...rest }: KubernetesObject): KubernetesObject {
  return rest;
}

const kept: Strategy = {
  ...plain,
  prepareCreate: withoutStatus,
  prepareUpdate: (previous, next) => compact({ ...next, status: previous['status'] }),
};

const pods: Strategy = {
  prepareCreate: (object) => {
    const spec = defaultPodSpec(objectAt(object, 'spec'));
    return { ...object, spec, status: { phase: 'Pending', qosClass: qosClassOf(spec) } };
  },
  prepareUpdate: (previous, next) => ({ ...next, spec: defaultPodSpec(objectAt(next, 'spec')), status: previous['status'] }),
  prepareStatus: (previous, next) => {
    const { phase, ...status } = normalizePodStatus(objectAt(next, 'status'));
    const { qosClass } = objectAt(previous, 'status');
    return withStatus(previous, { ...next, status: compact({ phase, ...status, qosClass: status['qosClass'] ?? qosClass }) });
  },
  check: (object) => checkPodSpec(objectAt(object, 'spec')),
  checkUpdate: checkPodUpdate,
};

const secrets: Strategy = {
  ...plain,
  prepareCreate: encodeSecret,
  prepareUpdate: (_previous, next) => encodeSecret(next),
  check: checkSecret,
  checkUpdate: (previous, next) => {
    const causes: Cause[] = [];
    if (previous['type'] !== next['type']) causes.push(wrong('type', next['type'], 'field is immutable'));
    if (previous['immutable'] === true) {
      if (next['immutable'] !== true) causes.push(notAllowed('immutable', 'field is immutable when `immutable` is set'));
      if (!isDeepStrictEqual(previous['data'], next['data'])) causes.push(notAllowed('data', 'field is immutable when `immutable` is set'));
    }
    return causes;
  },
};

function encodeSecret(object: KubernetesObject): KubernetesObject {
  const { stringData, data, type, ...rest } = object;
  for (const value of Object.values(objectAt({ data }, 'data'))) {
    if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) {
      throw badRequest('Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0');
    }
  }
  const plainText = Object.entries(objectAt({ stringData }, 'stringData'));
  const encoded = plainText.map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')] as const);
  const all = { ...objectAt({ data }, 'data'), ...Object.fromEntries(encoded) };
  return { ...rest, ...(Object.keys(all).length === 0 ? {} : { data: all }), type: type ?? 'Opaque' };
}

const SECRET_BYTES_MAX = 1024 * 1024;

function checkSecret(object: KubernetesObject): readonly Cause[] {
  const data = Object.entries(objectAt(object, 'data'));
  const causes = data.flatMap(([key]) =>
    /^[-._a-zA-Z0-9]+$/.test(key) && key.length <= 253
      ? []
      : [
          wrong(
            `data[${key}]`,
            key,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
          ),
        ],
  );
  const bytes = data.reduce((sum, [, value]) => sum + Buffer.byteLength(String(value), 'base64'), 0);
  if (bytes <= SECRET_BYTES_MAX) return causes;
  return [...causes, { reason: 'FieldValueTooLong', message: `Too long: may not be more than ${SECRET_BYTES_MAX} bytes`, field: 'data' }];
}

const namespaces: Strategy = {
  ...kept,
  prepareCreate: (object) => ({
    ...object,
    metadata: { ...object.metadata, labels: { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name } },
    spec: { ...objectAt(object, 'spec'), finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  }),
};

const leases: Strategy = {
  ...plain,
  check: (object) => {
    const { leaseDurationSeconds, leaseTransitions } = objectAt(object, 'spec');
    const causes: Cause[] = [];
    if (typeof leaseDurationSeconds === 'number' && leaseDurationSeconds <= 0) {
      causes.push(wrong('spec.leaseDurationSeconds', leaseDurationSeconds, 'must be greater than 0'));
    }
    if (typeof leaseTransitions === 'number' && leaseTransitions < 0) {
      causes.push(wrong('spec.leaseTransitions', leaseTransitions, 'must be greater than or equal to 0'));
    }
    return causes;
  },
};

const bindings: Strategy = {
  ...plain,
  check: (object) => (isObject(object['roleRef']) ? [] : [required('roleRef')]),
  checkUpdate: (previous, next) =>
    isDeepStrictEqual(previous['roleRef'], next['roleRef']) ? [] : [wrong('roleRef', next['roleRef'], 'cannot change roleRef')],
};

const STRATEGIES: Readonly<Record<string, Strategy>> = {
  pods,
  secrets,
  namespaces,
  leases,
  rolebindings: bindings,
  clusterrolebindings: bindings,
};

export function strategyOf(resource: Resource): Strategy {
  return STRATEGIES[resource.plural] ?? (resource.hasStatus ? kept : plain);
}

/** True where the two differ in more than metadata and status. */
export function differsInSpec(previous: KubernetesObject, next: KubernetesObject): boolean {
  const { metadata: _before, status: _beforeStatus, ...before } = previous;
  const { metadata: _after, status: _afterStatus, ...after } = next;
  return !isDeepStrictEqual(before, after);
}
