// One watch: from a revision on, each event once and in order, as the selectors of the request make it look.
//
//   V1. An object that begins to match is ADDED, one that ceases to match is DELETED, whatever was written to it.
//   V2. A revision that is no longer known is one ERROR event with code 410, after HTTP 200.
//   V3. A bookmark's revision is one up to which the client has seen everything.
import type { Timer } from '@muster/ports';
import { jsonOf, type KubernetesObject } from './object.ts';
import { parseRevision, selectorOf } from './reads.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import type { Selector } from './selectors.ts';
import { expired, invalid, tooLargeVersion } from './status-error.ts';
import type { StoreEvent } from './store.ts';
import { required } from './validation.ts';
import type { ApiRequest, World } from './world.ts';

/** Where a watch writes. */
export interface WatchSink {
  /** One whole line. `isEvent` is false for bookmarks. */
  line(text: string, isEvent: boolean): void;
  /** In order: there is no more. */
  end(): void;
}

const BOOKMARK_EVERY_MS = 60_000;
/** A last bookmark comes this long before the time is up, so that the client need not list again. */
const LAST_BOOKMARK_MS = 2000;
/** Where the client names no time: half an hour to an hour, so that not all come back at once. */
const TIMEOUT_MIN_MS = 1_800_000;
const MS_PER_SECOND = 1000;

/** A watch that was checked and can begin. */
export class Watch {
  readonly #world: World;
  readonly #resource: Resource;
  readonly #namespace: string;
  readonly #selector: Selector;
  readonly #hasBookmarks: boolean;
  readonly #isWatchList: boolean;
  readonly #revision: number;
  readonly #timeoutMs: number;
  readonly #timers = new Set<Timer>();
  #unsubscribe: (() => void) | undefined;

  /** @throws StatusError where the request makes no sense */
  constructor(world: World, request: ApiRequest) {
    const { query, resource, namespace } = request;
    this.#world = world;
    this.#resource = resource;
    this.#namespace = namespace;
    this.#selector = selectorOf(request);
    this.#hasBookmarks = isTrue(query.get('allowWatchBookmarks'));
    this.#isWatchList = isTrue(query.get('sendInitialEvents'));
    if (this.#isWatchList && query.get('resourceVersionMatch') !== 'NotOlderThan') {
      throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
        required('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'),
      ]);
    }
    this.#revision = parseRevision(query.get('resourceVersion') || '0');
    if (this.#revision > world.store.revision) throw tooLargeVersion(this.#revision, world.store.revision);
    const seconds = Number(query.get('timeoutSeconds') ?? 0);
    this.#timeoutMs = seconds > 0 ? seconds * MS_PER_SECOND : TIMEOUT_MIN_MS * (1 + world.random.next());
  }

  /** Writes what there is, then what comes, until its time is up or `close`. */
  start(sink: WatchSink): void {
    const { store } = this.#world;
    if (this.#revision === 0 || this.#isWatchList) {
      for (const object of store.list(this.#resource, this.#namespace || undefined)) {
        if (this.#selector(object)) sink.line(lineOf('ADDED', jsonOf(object)), true);
      }
      if (this.#isWatchList && this.#hasBookmarks) sink.line(this.#bookmark({ 'k8s.io/initial-events-end': 'true' }), false);
    } else {
      const missed = store.eventsSince(this.#resource, this.#revision);
      if (missed === undefined) {
        const { status } = expired(`too old resource version: ${this.#revision} (${store.compactedRevision})`);
        sink.line(lineOf('ERROR', JSON.stringify(status)), true);
        sink.end();
        return;
      }
      for (const event of missed) this.#pass(event, sink);
    }
    this.#unsubscribe = store.subscribe((event) => {
      if (event.resource === this.#resource) this.#pass(event, sink);
    });
    if (this.#hasBookmarks) this.#scheduleBookmarks(sink);
    this.#after(this.#timeoutMs, () => {
      this.close();
      sink.end();
    });
  }

  /** Writes no more. */
  close(): void {
    this.#unsubscribe?.();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #pass(event: StoreEvent, sink: WatchSink): void {
    const { object, previous } = event;
    if (this.#namespace !== '' && object.metadata.namespace !== this.#namespace) return;
    const did = previous !== undefined && this.#selector(previous);
    const does = event.type !== 'DELETED' && this.#selector(object);
    if (does) sink.line(lineOf(did ? 'MODIFIED' : 'ADDED', jsonOf(object)), true);
    else if (did) sink.line(lineOf('DELETED', jsonOf(event.type === 'DELETED' ? object : atRevision(previous, event.revision))), true);
  }

  #scheduleBookmarks(sink: WatchSink): void {
    const send = (): void => sink.line(this.#bookmark(), false);
    const repeat = (): void =>
      this.#after(BOOKMARK_EVERY_MS, () => {
        send();
        repeat();
      });
    repeat();
    if (this.#timeoutMs > LAST_BOOKMARK_MS) this.#after(this.#timeoutMs - LAST_BOOKMARK_MS, send);
  }

  #bookmark(annotations?: Readonly<Record<string, string>>): string {
    const metadata = { resourceVersion: String(this.#world.store.revision), ...(annotations === undefined ? {} : { annotations }) };
    const { kind } = this.#resource;
    return lineOf('BOOKMARK', JSON.stringify({ kind, apiVersion: apiVersionOf(this.#resource), metadata, ...EMPTY[kind] }));
  }

  #after(delayMs: number, fire: () => void): void {
    const timer = this.#world.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      fire();
    });
    this.#timers.add(timer);
  }
}

/** What an object that says nothing has in it, where that is something. */
const EMPTY: Readonly<Record<string, object>> = {
  Pod: { spec: { containers: null }, status: {} },
  Namespace: { spec: {}, status: {} },
  Node: { spec: {}, status: {} },
  Lease: { spec: {} },
  ResourceQuota: { spec: {}, status: {} },
};

function lineOf(type: string, object: string): string {
  return `{"type":"${type}","object":${object}}\n`;
}

function atRevision(object: KubernetesObject, revision: number): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}

function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1';
}
