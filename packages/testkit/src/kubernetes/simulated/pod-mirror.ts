// All pods, as the API server tells of them: list, watch, and list again when the watch is lost.
import type { Clock, Timer } from '@muster/ports';
import { isObject, type KubernetesObject, objectAt, stringAt } from '../object.ts';
import type { ApiClient, WatchEvent } from './api-client.ts';

const RETRY_MS = 100;

export class PodMirror {
  readonly pods = new Map<string, KubernetesObject>();
  readonly #client: ApiClient;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #onChange: (uid: string, pod: KubernetesObject | undefined) => void;
  #stopWatch: (() => void) | undefined;
  #retry: Timer | undefined;
  #isClosed = false;

  /** `onChange` hears of each pod that is new or changed, and of those that are gone. */
  constructor(
    client: ApiClient,
    clock: Clock,
    scope: { readonly namespace: string | undefined; readonly labelSelector: string | undefined },
    onChange: (uid: string, pod: KubernetesObject | undefined) => void,
  ) {
    this.#client = client;
    this.#clock = clock;
    const collection = scope.namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${scope.namespace}/pods`;
    this.#path = `${collection}?labelSelector=${encodeURIComponent(scope.labelSelector ?? '')}`;
    this.#onChange = onChange;
  }

  /** @throws Error where the first list fails */
  async start(): Promise<void> {
    await this.#listAndWatch();
  }

  close(): void {
    this.#isClosed = true;
    this.#stopWatch?.();
    this.#retry?.cancel();
  }

  async #listAndWatch(): Promise<void> {
    const body = await this.#client.call('GET', this.#path);
    const items = objectAt(body)['items'];
    const listed = new Map<string, KubernetesObject>();
    for (const item of Array.isArray(items) ? items : []) {
      const pod = { ...objectAt(item), kind: 'Pod', apiVersion: 'v1' } as unknown as KubernetesObject;
      listed.set(pod.metadata.uid, pod);
    }
    for (const uid of this.pods.keys()) if (!listed.has(uid)) this.#forget(uid);
    for (const pod of listed.values()) this.#learn(pod);
    await this.#watch(stringAt(body, 'metadata', 'resourceVersion') ?? '0');
  }

  async #watch(from: string): Promise<void> {
    if (this.#isClosed) return;
    let version = from;
    let isLost = false;
    const onEvent = ({ type, object }: WatchEvent): void => {
      if (type === 'ERROR') {
        isLost = true;
        return;
      }
      version = stringAt(object, 'metadata', 'resourceVersion') ?? version;
      if (type === 'DELETED') this.#forget(stringAt(object, 'metadata', 'uid') ?? '');
      else if (type !== 'BOOKMARK') this.#learn(object as unknown as KubernetesObject);
    };
    const query = `&watch=true&allowWatchBookmarks=true&resourceVersion=${version}`;
    const onEnd = (error: Error | undefined): void => {
      if (!this.#isClosed) this.#again(isLost || error !== undefined ? undefined : version);
    };
    this.#stopWatch = await this.#client.watch(this.#path + query, { onEvent, onEnd });
    if (this.#isClosed) this.#stopWatch();
  }

  /** Goes on from a version, or from the beginning. */
  #again(version: string | undefined): void {
    this.#retry = this.#clock.setTimer(version === undefined ? RETRY_MS : 0, () => {
      const next = version === undefined ? this.#listAndWatch() : this.#watch(version);
      next.catch(() => {
        if (!this.#isClosed) this.#again(undefined);
      });
    });
  }

  #learn(pod: KubernetesObject): void {
    if (!isObject(pod.metadata)) return;
    const { uid, resourceVersion } = pod.metadata;
    if (this.pods.get(uid)?.metadata.resourceVersion === resourceVersion) return;
    this.pods.set(uid, pod);
    this.#onChange(uid, pod);
  }

  #forget(uid: string): void {
    if (this.pods.delete(uid)) this.#onChange(uid, undefined);
  }
}
