// Objects as the API serves them. What is stored is never changed in place: a new version is a new object.
import type { Random } from '@muster/ports';
import type { Resource } from './resources.ts';

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

/** What was stored under a name, with what the server adds. */
export interface KubernetesObject {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** JSON from outside: nothing is known of it yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The field as an object; an empty one where it is none. */
export function objectAt(value: unknown, ...path: readonly string[]): JsonObject {
  let at: unknown = value;
  for (const field of path) at = isObject(at) ? at[field] : undefined;
  return isObject(at) ? at : {};
}

export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const last = path.at(-1);
  const at = last === undefined ? value : objectAt(value, ...path.slice(0, -1))[last];
  return Array.isArray(at) ? at : [];
}

export function stringAt(value: unknown, ...path: readonly string[]): string | undefined {
  const last = path.at(-1);
  const at = last === undefined ? value : objectAt(value, ...path.slice(0, -1))[last];
  return typeof at === 'string' ? at : undefined;
}

/** Fields whose value is undefined are left out, as they are in JSON. */
export function compact<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

/** Metadata out of fields that may be undefined. */
export function makeMetadata(fields: { readonly [K in keyof ObjectMeta]?: ObjectMeta[K] | undefined }): ObjectMeta {
  return compact(fields) as ObjectMeta;
}

/** RFC 3339 in whole seconds. */
export function timestamp(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}

/** A random UUID. */
export function makeUid(random: Random): string {
  const hex = (digits: number): string =>
    Math.floor(random.next() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  const variant = '89ab'[Math.floor(random.next() * 4)];
  return `${hex(8)}-${hex(4)}-4${hex(3)}-${variant}${hex(3)}-${hex(6)}${hex(6)}`;
}

/** How a stored version begins: a list's items are the same without it. */
export function jsonPrefix({ kind, apiVersion }: { readonly kind: string; readonly apiVersion: string }): string {
  return `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},`;
}

const texts = new WeakMap<KubernetesObject, string>();

/** As JSON; made once a version, however many read it. */
export function jsonOf(object: KubernetesObject): string {
  let text = texts.get(object);
  if (text === undefined) {
    const { kind, apiVersion, metadata, ...rest } = object;
    text = JSON.stringify({ kind, apiVersion, metadata, ...rest });
    texts.set(object, text);
  }
  return text;
}

/** As an item of a list: without kind and version. */
export function itemJsonOf(object: KubernetesObject): string {
  return `{${jsonOf(object).slice(jsonPrefix(object).length)}`;
}

/** Its place in the order in which lists give it. */
export function keyOf(resource: Resource, object: KubernetesObject): string {
  return makeKey(resource, object.metadata.namespace, object.metadata.name);
}

export function makeKey(resource: Resource, namespace: string | undefined, name: string): string {
  return resource.isNamespaced ? `${namespace ?? ''}/${name}` : name;
}
