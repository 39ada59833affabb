// The fields of every kind that the double serves, as the client's generated models have them.
import * as client from '@kubernetes/client-node';
import { RESOURCES } from '@muster/testkit';

interface Attribute {
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

/** By Go's name of a struct: its fields and their types, `[]v1.Container`, `map[string]string`, `int32`, `Quantity`. */
export type KubernetesTypes = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Amounts of something: the client has them as strings, the server takes numbers too. */
const QUANTITIES = new Set([
  'limits',
  'requests',
  'hard',
  'used',
  'overhead',
  'capacity',
  'allocatable',
  'allocatedResources',
  'sizeLimit',
  'divisor',
]);

/** Everything that the kinds of the double reach. */
export function readKubernetesTypes(): KubernetesTypes {
  const types: Record<string, Record<string, string>> = {};
  const queue = RESOURCES.map((resource) => {
    const group = resource.group === '' ? 'Core' : '';
    return modelNamed(`V1${resource.kind}`) ?? modelNamed(`${group}V1${resource.kind}`) ?? '';
  });
  const missing = RESOURCES.filter((_resource, at) => queue[at] === '');
  if (missing.length > 0) throw new Error(`the client has no model of ${missing.map((one) => one.kind).join(', ')}`);
  for (let model = queue.shift(); model !== undefined; model = queue.shift()) {
    const struct = structOf(model);
    if (struct in types) continue;
    types[struct] = {};
    for (const { baseName, type, format } of attributesOf(model)) {
      const { go, needs } = translate(type, format);
      types[struct][baseName] = QUANTITIES.has(baseName) ? go.replace(/string$/, 'Quantity') : go;
      if (needs !== undefined) queue.push(needs);
    }
  }
  return Object.fromEntries(Object.entries(types).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function modelNamed(name: string): string | undefined {
  return name in client && attributesOf(name).length > 0 ? name : undefined;
}

function attributesOf(name: string): readonly Attribute[] {
  const model = (client as unknown as Record<string, { readonly attributeTypeMap?: readonly Attribute[] } | undefined>)[name];
  return model?.attributeTypeMap ?? [];
}

/** `PodSpec` of `V1PodSpec`, `Event` of `CoreV1Event`. */
function structOf(model: string): string {
  return model.replace(/^([A-Z][a-z]+)?V1/, '');
}

function translate(type: string, format: string): { readonly go: string; readonly needs?: string } {
  const list = /^(?:Array|Set)<(.*)>$/.exec(type)?.[1];
  if (list !== undefined) {
    const { go, needs } = translate(list, format);
    return { go: `[]${go}`, ...(needs === undefined ? {} : { needs }) };
  }
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (map !== undefined) {
    const { go, needs } = translate(map, format);
    return { go: `map[string]${go}`, ...(needs === undefined ? {} : { needs }) };
  }
  if (type === 'V1MicroTime') return { go: 'MicroTime' };
  if (attributesOf(type).length > 0) return { go: `v1.${structOf(type)}`, needs: type };
  const plain: Readonly<Record<string, string>> = {
    string: 'string',
    boolean: 'bool',
    number: format === '' ? 'float64' : format,
    Date: 'Time',
    IntOrString: 'IntOrString',
    any: 'any',
  };
  return { go: plain[type] ?? 'any' };
}
