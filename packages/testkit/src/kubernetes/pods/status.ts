// The status of a pod as it is written back: fields that Go always writes are there, whoever left them out.
import { isObject, type JsonObject } from '../object.ts';

/** The status with what a decode and encode by the server's own types adds. */
export function normalizePodStatus(status: JsonObject): JsonObject {
  const lists = {
    conditions: normalizeCondition,
    initContainerStatuses: normalizeContainer,
    containerStatuses: normalizeContainer,
    ephemeralContainerStatuses: normalizeContainer,
  };
  const normalized = Object.entries(lists).flatMap(([field, normalize]) =>
    Array.isArray(status[field]) ? [[field, status[field].map((one) => (isObject(one) ? normalize(one) : one))]] : [],
  );
  return { ...status, ...(Object.fromEntries(normalized) as JsonObject) };
}

function normalizeCondition(condition: JsonObject): JsonObject {
  return { ...condition, lastProbeTime: condition['lastProbeTime'] ?? null, lastTransitionTime: condition['lastTransitionTime'] ?? null };
}

function normalizeContainer(container: JsonObject): JsonObject {
  return {
    ...container,
    state: container['state'] ?? {},
    lastState: container['lastState'] ?? {},
    ready: container['ready'] ?? false,
    restartCount: container['restartCount'] ?? 0,
    image: container['image'] ?? '',
    imageID: container['imageID'] ?? '',
  };
}

/** The conditions with this one in the place of the one of its type. */
export function withCondition(conditions: readonly unknown[], condition: JsonObject): readonly unknown[] {
  const at = conditions.findIndex((one) => isObject(one) && one['type'] === condition['type']);
  return at < 0 ? [...conditions, condition] : conditions.with(at, condition);
}
