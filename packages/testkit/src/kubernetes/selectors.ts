// Label and field selectors, as query parameters have them.
import { type KubernetesObject, objectAt } from './object.ts';
import type { Resource } from './resources.ts';
import { badRequest } from './status-error.ts';

/** True for the objects that are meant. */
export type Selector = (object: KubernetesObject) => boolean;

const NAME = String.raw`[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?`;
const IN = new RegExp(`^(${NAME})\\s+(in|notin)\\s+\\(([^()]*)\\)$`);
const EQUALS = new RegExp(`^(${NAME})\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`);
const EXISTS = new RegExp(`^(!?)\\s*(${NAME})$`);

/** @throws StatusError 400 where it cannot be read */
export function parseLabelSelector(text: string): Selector {
  const parts = splitOutsideParentheses(text).map((part) => parseLabelTerm(part, text));
  return (object) => parts.every((matches) => matches(object.metadata.labels ?? {}));
}

type LabelTerm = (labels: Readonly<Record<string, string>>) => boolean;

function parseLabelTerm(part: string, whole: string): LabelTerm {
  const set = IN.exec(part);
  if (set !== null) {
    const [, key = '', , operator, list = ''] = set;
    const values = new Set(list.split(',').map((value) => value.trim()));
    if (operator === 'in') return (labels) => key in labels && values.has(labels[key] as string);
    return (labels) => !(key in labels && values.has(labels[key] as string));
  }
  const equals = EQUALS.exec(part);
  if (equals !== null) {
    const [, key = '', , operator, value = ''] = equals;
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const exists = EXISTS.exec(part);
  if (exists === null) throw badRequest(`unable to parse requirement: found '${part}', expected: a label selector, in "${whole}"`);
  const [, not, key = ''] = exists;
  return not === '!' ? (labels) => !(key in labels) : (labels) => key in labels;
}

function splitOutsideParentheses(text: string): readonly string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Fields of every kind that a client may select by, and those of pods, events and Secrets. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  events: ['involvedObject.kind', 'involvedObject.namespace', 'involvedObject.name', 'involvedObject.uid', 'reason', 'source', 'type'],
  secrets: ['type'],
  namespaces: ['status.phase'],
};

/** @throws StatusError 400 where it cannot be read, or names a field that cannot be selected by */
export function parseFieldSelector(text: string, resource: Resource): Selector {
  const terms = fieldTerms(text);
  for (const { field } of terms) {
    const known = field === 'metadata.name' || (field === 'metadata.namespace' && resource.isNamespaced);
    if (!known && !FIELDS[resource.plural]?.includes(field)) throw badRequest(`field label not supported: ${field}`);
  }
  return (object) => terms.every(({ field, value, isEqual }) => (fieldOf(object, field) === value) === isEqual);
}

/** The name that a field selector asks for, if it is one: it counts as the request's name where rights are judged. */
export function nameInFieldSelector(text: string): string | undefined {
  return fieldTerms(text).find(({ field, isEqual }) => field === 'metadata.name' && isEqual)?.value;
}

function fieldTerms(text: string): readonly { readonly field: string; readonly value: string; readonly isEqual: boolean }[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^([^=!]+)(==|=|!=)(.*)$/.exec(part);
      if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      const [, field = '', operator, value = ''] = match;
      return { field: field.trim(), value: value.trim(), isEqual: operator !== '!=' };
    });
}

function fieldOf(object: KubernetesObject, field: string): string {
  const path = field.split('.');
  const value = objectAt(object, ...path.slice(0, -1))[path.at(-1) ?? ''];
  return typeof value === 'string' ? value : '';
}
