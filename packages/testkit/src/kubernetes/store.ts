// What the API server keeps in etcd: versions of objects, one counter for all, and a log that is as long as it is let be.
//
//   E1. Every write has a revision of its own, one higher than the write before; it is the object's resourceVersion.
//   E2. An event carries the object as it was written, and as it was before.
//   E3. Everybody hears of writes in their order, also of those that a listener makes.
//   E4. The log is bounded: what falls off its end is compacted, and reading from before that is refused, never wrong.
import { compact, type KubernetesObject, keyOf, makeKey, type ObjectMeta } from './object.ts';
import type { Resource } from './resources.ts';

export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  readonly resource: Resource;
  readonly key: string;
  readonly object: KubernetesObject;
  readonly previous: KubernetesObject | undefined;
}

export type StoreListener = (event: StoreEvent) => void;

class Table {
  readonly objects = new Map<string, KubernetesObject>();
  /** Sorted, as etcd gives them. */
  readonly keys: string[] = [];

  /** Where the key is, or belongs. */
  find(key: string): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  put(key: string, object: KubernetesObject): void {
    if (!this.objects.has(key)) this.keys.splice(this.find(key), 0, key);
    this.objects.set(key, object);
  }

  remove(key: string): void {
    if (this.objects.delete(key)) this.keys.splice(this.find(key), 1);
  }
}

export class Store {
  readonly #tables = new Map<Resource, Table>();
  readonly #listeners = new Set<StoreListener>();
  readonly #historyMax: number;
  readonly #unheard: StoreEvent[] = [];
  #isTelling = false;
  #log: StoreEvent[] = [];
  #revision: number;
  #compacted: number;

  constructor(options: { readonly revision: number; readonly historyMax: number }) {
    this.#revision = options.revision;
    this.#compacted = options.revision;
    this.#historyMax = options.historyMax;
  }

  /** Of the last write. */
  get revision(): number {
    return this.#revision;
  }

  /** Nothing is known of what was before this revision. */
  get compactedRevision(): number {
    return this.#compacted;
  }

  get(resource: Resource, namespace: string | undefined, name: string): KubernetesObject | undefined {
    return this.#tables.get(resource)?.objects.get(makeKey(resource, namespace, name));
  }

  /** In the order of their keys; of one namespace where it is given. */
  list(resource: Resource, namespace?: string): readonly KubernetesObject[] {
    const table = this.#tables.get(resource);
    if (table === undefined) return [];
    const [from, to] = namespace === undefined ? [0, table.keys.length] : [table.find(`${namespace}/`), table.find(`${namespace}0`)];
    return table.keys.slice(from, to).map((key) => table.objects.get(key) as KubernetesObject);
  }

  /** As it was right after that revision; undefined where that is no longer known (E4). */
  listAt(resource: Resource, namespace: string | undefined, revision: number): readonly KubernetesObject[] | undefined {
    if (revision < this.#compacted) return undefined;
    const now = this.list(resource, namespace);
    if (revision >= this.#revision) return now;
    const then = new Map(now.map((object) => [keyOf(resource, object), object]));
    for (let at = this.#log.length - 1; at >= 0; at--) {
      const event = this.#log[at] as StoreEvent;
      if (event.revision <= revision) break;
      if (event.resource !== resource || (namespace !== undefined && event.object.metadata.namespace !== namespace)) continue;
      if (event.previous === undefined) then.delete(event.key);
      else then.set(event.key, event.previous);
    }
    return [...then.keys()].toSorted(byCode).map((key) => then.get(key) as KubernetesObject);
  }

  /** Events after that revision; undefined where some of them are no longer known (E4). */
  eventsSince(resource: Resource, revision: number): readonly StoreEvent[] | undefined {
    if (revision < this.#compacted) return undefined;
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#log[middle] as StoreEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#log.slice(low).filter((event) => event.resource === resource);
  }

  /** Stores a new version, under the next revision, and gives it as stored. */
  put(resource: Resource, object: KubernetesObject): KubernetesObject {
    const key = keyOf(resource, object);
    const table = this.#table(resource);
    const previous = table.objects.get(key);
    const stored = this.#stamp(object);
    table.put(key, stored);
    this.#append({
      type: previous === undefined ? 'ADDED' : 'MODIFIED',
      revision: this.#revision,
      resource,
      key,
      object: stored,
      previous,
    });
    return stored;
  }

  /** Takes it away, and gives its last version, with the revision of its end. */
  remove(resource: Resource, object: KubernetesObject): KubernetesObject {
    const key = keyOf(resource, object);
    const table = this.#table(resource);
    const previous = table.objects.get(key);
    const last = this.#stamp(previous ?? object);
    table.remove(key);
    this.#append({ type: 'DELETED', revision: this.#revision, resource, key, object: last, previous });
    return last;
  }

  /** Called with each event, in order, within the write. */
  subscribe(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Forgets what was before: of the log, nothing is left. */
  compact(): void {
    this.#log = [];
    this.#compacted = this.#revision;
  }

  #table(resource: Resource): Table {
    let table = this.#tables.get(resource);
    if (table === undefined) {
      table = new Table();
      this.#tables.set(resource, table);
    }
    return table;
  }

  #stamp(object: KubernetesObject): KubernetesObject {
    this.#revision += 1;
    const metadata: ObjectMeta = compact({ ...object.metadata, resourceVersion: String(this.#revision) });
    return { ...object, metadata };
  }

  #append(event: StoreEvent): void {
    this.#log.push(event);
    // In batches: moving the whole log with each write would make every write slow.
    if (this.#log.length > 2 * this.#historyMax) {
      const dropped = this.#log.splice(0, this.#log.length - this.#historyMax);
      this.#compacted = dropped.at(-1)?.revision ?? this.#compacted;
    }
    this.#unheard.push(event);
    if (this.#isTelling) return;
    this.#isTelling = true;
    for (let next = this.#unheard.shift(); next !== undefined; next = this.#unheard.shift()) {
      for (const listener of this.#listeners) listener(next);
    }
    this.#isTelling = false;
  }
}

function byCode(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
