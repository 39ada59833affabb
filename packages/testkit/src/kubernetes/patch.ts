// The three kinds of patch that clients send.
import { applyPatch as applyJsonPatch, type Operation } from 'rfc6902';
import { isObject, type JsonObject } from './object.ts';
import { badRequest, StatusError, unsupportedMediaType } from './status-error.ts';

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';

/** @throws StatusError 400, 415 or 422 */
export function applyPatch(contentType: string, target: unknown, patch: unknown): unknown {
  switch (contentType) {
    case MERGE_PATCH:
      return mergePatch(target, patch);
    case STRATEGIC_PATCH:
      if (!isObject(patch)) throw badRequest('a strategic merge patch is an object');
      return strategicPatch(target, patch);
    case JSON_PATCH:
      return jsonPatch(target, patch);
    default:
      throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH]);
  }
}

/** RFC 7396. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete merged[field];
    else merged[field] = mergePatch(merged[field], value);
  }
  return merged;
}

/** RFC 6902. */
function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch is an array of operations');
  const copy = structuredClone(target);
  const failure = applyJsonPatch(copy, patch as Operation[]).find((one) => one !== null);
  if (failure === undefined) return copy;
  throw new StatusError(422, 'Invalid', `the server rejected our request due to an error in our request: ${failure.message}`, {});
}

/** Lists that are merged by a key of their items, by the field's name; what is not here is replaced as a whole. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  ephemeralContainers: 'name',
  volumes: 'name',
  env: 'name',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
  ports: 'containerPort',
  imagePullSecrets: 'name',
  hostAliases: 'ip',
  topologySpreadConstraints: 'topologyKey',
  conditions: 'type',
  podIPs: 'ip',
  ownerReferences: 'uid',
  secrets: 'name',
  taints: 'key',
};

/** Lists of strings that are joined. */
const MERGED_SETS: ReadonlySet<string> = new Set(['finalizers']);

function strategicPatch(target: unknown, patch: JsonObject): unknown {
  if (patch['$patch'] === 'replace') return withoutDirectives(patch);
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  if (Array.isArray(patch['$retainKeys'])) {
    for (const key of Object.keys(merged)) if (!patch['$retainKeys'].includes(key)) delete merged[key];
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$deleteFromPrimitiveList/')) {
      const name = key.slice(key.indexOf('/') + 1);
      const gone = new Set(Array.isArray(value) ? value : []);
      if (Array.isArray(merged[name])) merged[name] = merged[name].filter((one) => !gone.has(one));
    } else if (key.startsWith('$')) {
      continue;
    } else if (value === null) {
      delete merged[key];
    } else if (Array.isArray(value)) {
      merged[key] = strategicList(merged[key], value, key);
    } else if (isObject(value)) {
      if (value['$patch'] === 'delete') delete merged[key];
      else merged[key] = strategicPatch(merged[key], value);
    } else {
      merged[key] = value;
    }
  }
  return merged;
}

function strategicList(target: unknown, patch: readonly unknown[], field: string): readonly unknown[] {
  const present: unknown[] = Array.isArray(target) ? [...target] : [];
  if (MERGED_SETS.has(field)) return [...new Set([...present, ...patch])];
  const key = MERGE_KEYS[field];
  if (key === undefined) return patch;
  if (patch.some((one) => isObject(one) && one['$patch'] === 'replace')) return patch.filter((one) => !(isObject(one) && '$patch' in one));
  for (const item of patch) {
    if (!isObject(item)) throw badRequest(`${field}: an item of a merged list is an object`);
    const at = present.findIndex((one) => isObject(one) && one[key] === item[key]);
    if (item['$patch'] === 'delete') {
      if (at >= 0) present.splice(at, 1);
    } else if (at >= 0) {
      present[at] = strategicPatch(present[at], item);
    } else {
      present.push(withoutDirectives(item));
    }
  }
  return present;
}

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([key]) => !key.startsWith('$')));
}
