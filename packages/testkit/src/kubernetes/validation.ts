// Names and labels, as the server judges them.
import { isObject } from './object.ts';
import type { Resource } from './resources.ts';
import type { Cause } from './status-error.ts';

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_TEXT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

export function required(field: string, message = ''): Cause {
  return { reason: 'FieldValueRequired', message: message === '' ? 'Required value' : `Required value: ${message}`, field };
}

export function wrong(field: string, value: unknown, why: string): Cause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(value)}: ${why}`, field };
}

export function unsupported(field: string, value: unknown, supported: readonly string[]): Cause {
  const list = supported.map((one) => JSON.stringify(one)).join(', ');
  return { reason: 'FieldValueNotSupported', message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`, field };
}

export function duplicate(field: string, value: unknown): Cause {
  return { reason: 'FieldValueDuplicate', message: `Duplicate value: ${JSON.stringify(value)}`, field };
}

export function absent(field: string, value: unknown): Cause {
  return { reason: 'FieldValueNotFound', message: `Not found: ${JSON.stringify(value)}`, field };
}

export function notAllowed(field: string, why: string): Cause {
  return { reason: 'FieldValueForbidden', message: `Forbidden: ${why}`, field };
}

/** A name of up to 253 characters with dots: most objects. */
export function checkSubdomain(field: string, value: string): readonly Cause[] {
  return [
    ...(value.length > 253 ? [wrong(field, value, 'must be no more than 253 bytes')] : []),
    ...(SUBDOMAIN.test(value) ? [] : [wrong(field, value, SUBDOMAIN_TEXT)]),
  ];
}

/** A name of up to 63 characters without dots: containers, volumes, namespaces. */
export function checkLabelName(field: string, value: string): readonly Cause[] {
  return [
    ...(value.length > 63 ? [wrong(field, value, 'must be no more than 63 bytes')] : []),
    ...(LABEL.test(value) ? [] : [wrong(field, value, LABEL_TEXT)]),
  ];
}

/** The parts of `metadata` that every object has; taken as it came, so that nothing is known of its types. */
export function checkMetadata(resource: Resource, metadata: Readonly<Record<string, unknown>>): readonly Cause[] {
  const name = metadata['name'];
  const isRole = resource.group === 'rbac.authorization.k8s.io';
  const causes: Cause[] = [];
  if (typeof name !== 'string' || name === '') causes.push(required('metadata.name', 'name or generateName is required'));
  else if (isRole) causes.push(...checkPathSegment('metadata.name', name));
  else causes.push(...(resource.plural === 'namespaces' ? checkLabelName : checkSubdomain)('metadata.name', name));
  causes.push(...checkLabels('metadata.labels', metadata['labels']), ...checkKeys('metadata.annotations', metadata['annotations']));
  return causes;
}

function checkPathSegment(field: string, value: string): readonly Cause[] {
  return /[/%]/.test(value) || value === '.' || value === '..'
    ? [wrong(field, value, "may not contain '/' or '%', or be '.' or '..'")]
    : [];
}

export function checkLabels(field: string, labels: unknown): readonly Cause[] {
  if (!isObject(labels)) return [];
  return [
    ...checkKeys(field, labels),
    ...Object.values(labels).flatMap((value) => {
      if (typeof value !== 'string') return [];
      if (value.length > 63) return [wrong(field, value, 'must be no more than 63 bytes')];
      return LABEL_VALUE.test(value) ? [] : [wrong(field, value, LABEL_VALUE_TEXT)];
    }),
  ];
}

/** Keys of labels and annotations: `name` or `prefix/name`. */
function checkKeys(field: string, map: unknown): readonly Cause[] {
  if (!isObject(map)) return [];
  return Object.keys(map).flatMap((key) => {
    const slash = key.indexOf('/');
    const name = key.slice(slash + 1);
    const prefix = slash < 0 ? undefined : key.slice(0, slash);
    return [
      ...(prefix !== undefined && !SUBDOMAIN.test(prefix) ? [wrong(field, key, `prefix part ${SUBDOMAIN_TEXT}`)] : []),
      ...(name.length > 63 ? [wrong(field, key, 'name part must be no more than 63 bytes')] : []),
      ...(QUALIFIED.test(name) ? [] : [wrong(field, key, QUALIFIED_TEXT)]),
    ];
  });
}
