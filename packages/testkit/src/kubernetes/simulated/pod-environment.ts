// What a container's environment is made of: values, the pod's own fields, Secrets and ConfigMaps.
import { isObject, type JsonObject, type KubernetesObject, listAt, objectAt, stringAt } from '../object.ts';
import type { ApiClient } from './api-client.ts';

interface Reference {
  readonly kind: 'secret' | 'configmap';
  readonly name: string;
  /** Undefined: all of it. */
  readonly key: string | undefined;
  readonly isOptional: boolean;
}

/** What the pod needs and is not there, in the words of a kubelet; undefined: nothing. */
export async function missingConfig(client: ApiClient, pod: KubernetesObject): Promise<string | undefined> {
  const references = listAt(pod, 'spec', 'containers').flatMap((container) => [
    ...listAt(container, 'env').flatMap((variable) => referenceOf(objectAt(variable, 'valueFrom'), 'secretKeyRef', 'configMapKeyRef')),
    ...listAt(container, 'envFrom').flatMap((source) => referenceOf(objectAt(source), 'secretRef', 'configMapRef')),
  ]);
  const read = new Map<string, JsonObject | undefined>();
  for (const { kind, name, key, isOptional } of references) {
    if (isOptional) continue;
    const path = pathOf(pod, kind, name);
    if (!read.has(path)) read.set(path, await readData(client, path));
    const data = read.get(path);
    if (data === undefined) return `${kind} "${name}" not found`;
    if (key !== undefined && !(key in data)) {
      return `couldn't find key ${key} in ${kind === 'secret' ? 'Secret' : 'ConfigMap'} ${pod.metadata.namespace}/${name}`;
    }
  }
  return undefined;
}

/** The environment of one container, in which later values may name earlier ones as `$(NAME)`. */
export async function environmentOf(
  client: ApiClient,
  pod: KubernetesObject,
  container: JsonObject,
  status: { readonly podIp: string; readonly hostIp: string },
): Promise<Readonly<Record<string, string>>> {
  const env: Record<string, string> = {};
  for (const source of listAt(container, 'envFrom')) {
    for (const { kind, name } of referenceOf(objectAt(source), 'secretRef', 'configMapRef')) {
      const data = (await readData(client, pathOf(pod, kind, name))) ?? {};
      const prefix = stringAt(source, 'prefix') ?? '';
      for (const key of Object.keys(data)) env[prefix + key] = textOf(kind, data[key]);
    }
  }
  for (const variable of listAt(container, 'env')) {
    const name = stringAt(variable, 'name') ?? '';
    const from = objectAt(variable, 'valueFrom');
    const [reference] = referenceOf(from, 'secretKeyRef', 'configMapKeyRef');
    const field = stringAt(from, 'fieldRef', 'fieldPath');
    if (field !== undefined) env[name] = fieldOf(pod, field, status);
    else if (reference === undefined) env[name] = expand(stringAt(variable, 'value') ?? '', env);
    else {
      const data = await readData(client, pathOf(pod, reference.kind, reference.name));
      if (data !== undefined && (reference.key ?? '') in data) env[name] = textOf(reference.kind, data[reference.key ?? '']);
    }
  }
  return env;
}

/** `$(NAME)` for what is known; `$$(NAME)` is `$(NAME)`. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$?\$\(([^()]+)\)/g, (whole, name: string) => (whole.startsWith('$$') ? whole.slice(1) : (env[name] ?? whole)));
}

function referenceOf(source: JsonObject, secret: string, configMap: string): readonly Reference[] {
  const kind = isObject(source[secret]) ? 'secret' : 'configmap';
  const reference = source[kind === 'secret' ? secret : configMap];
  if (!isObject(reference)) return [];
  return [{ kind, name: stringAt(reference, 'name') ?? '', key: stringAt(reference, 'key'), isOptional: reference['optional'] === true }];
}

function pathOf({ metadata }: KubernetesObject, kind: Reference['kind'], name: string): string {
  return `/api/v1/namespaces/${metadata.namespace}/${kind}s/${name}`;
}

async function readData(client: ApiClient, path: string): Promise<JsonObject | undefined> {
  const found = await client.call('GET', path, {}, [404]);
  return found === undefined ? undefined : objectAt(found, 'data');
}

function textOf(kind: Reference['kind'], value: unknown): string {
  const text = typeof value === 'string' ? value : '';
  return kind === 'secret' ? Buffer.from(text, 'base64').toString() : text;
}

function fieldOf(pod: KubernetesObject, path: string, { podIp, hostIp }: { readonly podIp: string; readonly hostIp: string }): string {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) return stringAt(pod, 'metadata', keyed[1] ?? '', keyed[2] ?? '') ?? '';
  if (path === 'status.podIP' || path === 'status.podIPs') return podIp;
  if (path === 'status.hostIP' || path === 'status.hostIPs') return hostIp;
  return stringAt(pod, ...path.split('.')) ?? '';
}
