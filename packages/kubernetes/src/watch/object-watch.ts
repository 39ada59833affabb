// The one list-and-watch of a replica: what the cluster has, as fresh as the server tells it.
//
// Owns: the list of what there is by name, and how fresh it is. Decides nothing.
// Invariants:
//   V1. It ends only by `close`: whatever the server says or does not say, it goes on, with a backoff.
//   V2. A version that the server has forgotten (410, as a status or as an event) and a line that cannot be read lead to a new
//       list; so does `resyncMs`, whatever the watch says.
//   V3. A watch that says nothing for `watchStalledMs` is taken for dead.
//   V4. A list older than what was seen is not believed, for so long as a restored server would not explain it.
//   V5. What a list lacks and was there before is told as gone, once.
import type { Clock, Logger, Random, Timer } from '@muster/ports';
import type { ApiClient } from '../api/api-client.ts';
import { ApiFault, faultOfStatus, isFault } from '../api/api-fault.ts';
import type { KubernetesTimings } from '../timings.ts';
import { type ApiObject, listAll } from './list-all.ts';

export interface ObjectWatchOptions<T extends ApiObject> {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly path: string;
  readonly selector: string;
  readonly timings: KubernetesTimings;
  /** What of it is to be kept: there may be many. */
  slim(object: T): T;
  /** It is there, new or changed. */
  seen(object: T): void;
  /** It is there no more; as it was last known. */
  gone(object: T): void;
  /** Why everything is read anew: `start`, `resync`, `expired`, `stalled`, `unreadable`. */
  relisted(why: string): void;
}

interface WatchEvent<T> {
  readonly type: string;
  readonly object: T;
}

const ENDS_AT_ONCE_MS = 1_000;
/** Lists in a row that may be older than what was seen. */
const STALE_LISTS_MAX = 5;

export class ObjectWatch<T extends ApiObject> {
  readonly #options: ObjectWatchOptions<T>;
  readonly #known = new Map<string, T>();
  readonly #closing = new AbortController();
  #version: string | undefined;
  /** The newest one that was seen. */
  #lastVersion = '';
  #why = 'start';
  #listedMs = Number.NEGATIVE_INFINITY;
  #freshMs: number;
  #staleLists = 0;
  #failures = 0;
  #sleeping: { readonly timer: Timer; readonly wake: () => void } | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ObjectWatchOptions<T>) {
    this.#options = options;
    this.#freshMs = options.clock.monotonicMs();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#sleeping?.timer.cancel();
    this.#sleeping?.wake();
    await this.#running;
  }

  get(name: string): T | undefined {
    return this.#known.get(name);
  }

  /** Since the server was last heard: what is known may be as old, ms. */
  get stalenessMs(): number {
    return this.#options.clock.monotonicMs() - this.#freshMs;
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    const { clock, timings } = this.#options;
    while (!this.#isClosed) {
      try {
        if (clock.monotonicMs() - this.#listedMs >= timings.resyncMs) this.#forgetVersion('resync');
        if (this.#version === undefined) await this.#list();
        if (this.#isClosed) return;
        await this.#watch(this.#version ?? '');
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#isClosed) return;
    const { logger, random, timings } = this.#options;
    if (isFault(error, 'expired')) this.#forgetVersion('expired');
    // A version that the server cannot read is answered with 500: no other answer is worth a list, the server has enough to do.
    else if (isFault(error, 'server-error', 'invalid') && /resourceVersion/.test(error.message)) this.#forgetVersion('expired');
    else if (this.#failures === 0) logger.warn({ error: String(error) }, 'the pods cannot be watched: trying again');
    const backoffMs = Math.min(timings.backoffMaxMs, timings.backoffMinMs * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    const askedMs = isFault(error, 'throttled', 'server-error') ? (error.retryAfterMs ?? 0) : 0;
    // All replicas lost the server at the same moment: they come back one after the other.
    await this.#sleep(Math.max(askedMs, backoffMs * (0.5 + random.next() / 2)));
  }

  async #list(): Promise<void> {
    const { api, clock, path, selector, timings } = this.#options;
    const { items, resourceVersion } = await listAll<T>(api, {
      path,
      selector,
      pageSize: timings.pageSize,
      timeoutMs: timings.callTimeoutMs,
    });
    if (this.#isClosed) return;
    if (isOlder(resourceVersion, this.#lastVersion) && this.#staleLists < STALE_LISTS_MAX) {
      this.#staleLists += 1;
      throw new ApiFault('server-error', 0, `the server listed version ${resourceVersion}, but ${this.#lastVersion} was seen before`);
    }
    this.#staleLists = 0;
    this.#options.relisted(this.#why);
    this.#recovered();
    this.#listedMs = clock.monotonicMs();
    this.#fresh(resourceVersion);
    const names = new Set(items.map(({ metadata }) => metadata?.name));
    for (const [name, object] of this.#known) if (!names.has(name)) this.#remove(name, object);
    for (const object of items) this.#put(object);
  }

  async #watch(from: string): Promise<void> {
    const { api, clock, path, selector, random, timings } = this.#options;
    const silence = new AbortController();
    let timer: Timer | undefined;
    const listen = (): void => {
      timer?.cancel();
      timer = clock.setTimer(timings.watchStalledMs, () => silence.abort());
    };
    const seconds = Math.ceil((timings.watchForMs * (0.75 + random.next() / 2)) / 1_000);
    const startedMs = clock.monotonicMs();
    listen();
    try {
      await api.stream(
        {
          path,
          query: {
            watch: 'true',
            allowWatchBookmarks: 'true',
            labelSelector: selector,
            resourceVersion: from,
            timeoutSeconds: String(seconds),
          },
        },
        {
          signal: AbortSignal.any([silence.signal, this.#closing.signal]),
          timeoutMs: timings.callTimeoutMs,
          onLine: (line) => {
            listen();
            this.#hear(line);
          },
        },
      );
      // One that ends at once, again and again, is no watch; the server ends each after its time, and was there until then.
      if (clock.monotonicMs() - startedMs < ENDS_AT_ONCE_MS) throw new ApiFault('server-error', 200, 'the watch ended at once');
      this.#freshMs = clock.monotonicMs();
    } catch (error) {
      if (!silence.signal.aborted || this.#isClosed) throw error;
      this.#forgetVersion('stalled');
      throw new ApiFault('unreachable', 0, `the watch said nothing for ${timings.watchStalledMs} ms`);
    } finally {
      timer?.cancel();
    }
  }

  #hear(line: string): void {
    let event: WatchEvent<T>;
    try {
      event = JSON.parse(line) as WatchEvent<T>;
      if (typeof event?.object !== 'object' || event.object === null) throw new Error('it has no object');
    } catch (cause) {
      this.#forgetVersion('unreadable');
      throw new ApiFault('server-error', 200, `a line of the watch cannot be read: ${String(cause)}`, { cause });
    }
    if (event.type === 'ERROR') throw faultOfStatus(event.object);
    this.#recovered();
    const { name, resourceVersion } = event.object.metadata ?? {};
    if (resourceVersion !== undefined) this.#fresh(resourceVersion);
    if (name === undefined) return;
    if (event.type === 'DELETED') this.#remove(name, event.object);
    else if (event.type === 'ADDED' || event.type === 'MODIFIED') this.#put(event.object);
  }

  #recovered(): void {
    if (this.#failures > 0) this.#options.logger.info({ failures: this.#failures }, 'the pods are watched again');
    this.#failures = 0;
  }

  #fresh(version: string): void {
    this.#version = version;
    this.#lastVersion = version;
    this.#freshMs = this.#options.clock.monotonicMs();
  }

  #forgetVersion(why: string): void {
    if (this.#version === undefined) return;
    this.#version = undefined;
    this.#why = why;
  }

  #put(object: T): void {
    const { name = '', uid, resourceVersion } = object.metadata ?? {};
    const before = this.#known.get(name)?.metadata;
    if (before?.uid === uid && before?.resourceVersion === resourceVersion && resourceVersion !== undefined) return;
    // Another one of the same name: the one before is gone, though nobody said so.
    const old = this.#known.get(name);
    if (old !== undefined && before?.uid !== uid) this.#remove(name, old);
    const slim = this.#options.slim(object);
    this.#known.set(name, slim);
    this.#options.seen(slim);
  }

  #remove(name: string, object: T): void {
    if (!this.#known.delete(name)) return;
    this.#options.gone(object);
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#sleeping = undefined;
        resolve();
      };
      this.#sleeping = { timer: this.#options.clock.setTimer(delayMs, wake), wake };
    });
  }
}

/** Versions of one server are numbers that grow; what is none says nothing. */
function isOlder(version: string, seen: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(seen)) return false;
  return BigInt(version) < BigInt(seen);
}
