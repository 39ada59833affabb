// The settings of the stream that the guarantees rest on, and what differs from them.

/** Every setting that changes what the stream promises, as the server's JSON names it. */
export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly num_replicas: number;
  readonly [setting: string]: unknown;
}

export interface Difference {
  readonly setting: string;
  readonly wanted: unknown;
  readonly found: unknown;
}

/** What we want of any stream: kept on disk, refusing rather than forgetting, and rolled up by subject. */
const COMMON = {
  storage: 'file',
  retention: 'limits',
  discard: 'new',
  max_consumers: -1,
  max_msgs: -1,
  max_bytes: -1,
  max_age: 0,
  max_msg_size: -1,
  allow_rollup_hdrs: true,
  allow_direct: true,
  deny_delete: false,
  deny_purge: false,
} as const;

/** Nothing of ours is published with a message id, so the window serves nobody; the server wants one all the same. */
const DUPLICATE_WINDOW_NS = 1_000_000_000;

/** The stream of the journals: history kept until it is rolled up, however long. */
export function journalSettings(name: string, subjects: readonly string[], replicas: number): StreamSettings {
  return { ...COMMON, name, subjects, num_replicas: replicas, max_msgs_per_subject: -1, duplicate_window: DUPLICATE_WINDOW_NS };
}

/** The stream of a key-value bucket with a history of one. */
export function bucketSettings(bucket: string, replicas: number): StreamSettings {
  return {
    ...COMMON,
    name: `KV_${bucket}`,
    subjects: [`$KV.${bucket}.>`],
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    deny_delete: true,
    duplicate_window: DUPLICATE_WINDOW_NS,
  };
}

/** May be as an operator likes: they change nothing that we rely on. */
const FREE = new Set(['description', 'metadata', 'placement', 'consumer_limits', 'compression']);

/** Every setting that is not as wanted; one that we do not name has to be off. */
export function differences(wanted: StreamSettings, found: Readonly<Record<string, unknown>>): readonly Difference[] {
  const settings = new Set([...Object.keys(wanted), ...Object.keys(found)]);
  return Array.from(settings)
    .filter((setting) => !FREE.has(setting) && !isSame(wanted[setting], found[setting]))
    .map((setting) => ({ setting, wanted: wanted[setting] ?? 'off', found: found[setting] ?? 'off' }));
}

function isSame(wanted: unknown, found: unknown): boolean {
  if (isOff(wanted) && isOff(found)) return true;
  if (Array.isArray(wanted) && Array.isArray(found)) {
    return wanted.length === found.length && wanted.every((one) => found.includes(one));
  }
  return wanted === found;
}

/** Servers leave out what is off, or say so in their own way. */
function isOff(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === 0 || value === '' || value === 'none' || value === 'default';
}
