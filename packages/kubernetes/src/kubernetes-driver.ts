// Workers as pods: the `WorkerDriver` of Kubernetes (DESIGN 9).
//
// Owns: what this replica knows of the pods of its cluster's label, and its calls to the API server. Does not own: any pod.
// Invariants:
//   D1. A pod and its Secret have the slot's name: making them twice is making them once. What is there under that name and has
//       other labels is left alone.
//   D2. A slot whose pod was seen to go, or was destroyed here, is never made again.
//   D3. A pod is deleted by its uid; `destroy` resolves when it is not there any more, and waits for that a moment only.
//   D4. Nothing of another cluster is listed, watched or deleted.
//   D5. Nothing is loaded and nobody is called before a pool wants it.
import type { WorkerTemplate } from '@muster/domain';
import type {
  Capacity,
  Clock,
  CreateOutcome,
  HostStatus,
  Logger,
  Metrics,
  Placement,
  Random,
  Subscription,
  Timer,
  WorkerDriver,
  WorkerHandle,
  WorkerSpec,
  WorkerStatus,
} from '@muster/ports';
import { ApiClient } from './api/api-client.ts';
import { ApiFault, unavailable } from './api/api-fault.ts';
import { TokenBucket } from './api/token-bucket.ts';
import { type Connection, openTransport, type Transport } from './api/transport.ts';
import { outcomeOfFault } from './create-outcome.ts';
import { clusterSelector, LABELS, orgLabel } from './labels.ts';
import { DriverMeters } from './meters.ts';
import type { Pod, Secret } from './objects.ts';
import { OrgLabels } from './org-labels.ts';
import { PodCalls } from './pod/pod-calls.ts';
import { slimPod, slotOf, viewOfGone, viewOfPod, viewOfSecret } from './pod/worker-view.ts';
import { KUBERNETES_TIMINGS, type KubernetesTimings } from './timings.ts';
import { listAll } from './watch/list-all.ts';
import { ObjectWatch } from './watch/object-watch.ts';
import { faultText } from './worker-fault.ts';

/** What the driver needs. */
export interface KubernetesDriverOptions {
  readonly cluster: string;
  readonly connection: Connection;
  /** Where the workers find NATS: addresses, separated by commas. */
  readonly natsUrl: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly timings?: Partial<KubernetesTimings>;
}

/** The way to one namespace of one API server. */
interface Link {
  readonly api: ApiClient;
  readonly transport: Transport;
  readonly calls: PodCalls;
  readonly podsPath: string;
  readonly secretsPath: string;
  readonly watch: ObjectWatch<Pod>;
}

/** Slots that are remembered as gone. */
const GONE_MAX = 20_000;
const SHOW_MS = 1_000;

/** `WorkerDriver` over the pods of one namespace. */
export class KubernetesDriver implements WorkerDriver {
  readonly name = 'kubernetes';
  readonly isOnePlace = true;
  readonly #options: KubernetesDriverOptions;
  readonly #timings: KubernetesTimings;
  readonly #meters: DriverMeters;
  readonly #orgs: OrgLabels;
  readonly #listeners = new Set<(status: WorkerStatus) => void>();
  /** When this replica saw a slot's pod or Secret first. */
  readonly #firstSeenMs = new Map<string, number>();
  /** Slots whose worker has ended or is ending, and why. */
  readonly #gone = new Map<string, string>();
  readonly #stuck = new Map<string, { readonly sinceMs: number; readonly timer: Timer }>();
  readonly #ears = new Set<Ear>();
  #link: Promise<Link> | undefined;
  #listing: Promise<readonly WorkerStatus[]> | undefined;
  #secretsReadMs = Number.NEGATIVE_INFINITY;
  #showing: Timer | undefined;
  #isClosed = false;

  constructor(options: KubernetesDriverOptions) {
    this.#options = options;
    this.#timings = { ...KUBERNETES_TIMINGS, ...options.timings };
    this.#meters = new DriverMeters(options.metrics);
    this.#orgs = new OrgLabels({ clock: options.clock, logger: options.logger, connect: () => this.#connect() });
  }

  /** The cluster's autoscaler is the ceiling (DESIGN 7.2). */
  capacity(_template: WorkerTemplate): Capacity {
    return { kind: 'unbounded' };
  }

  place(): Placement | undefined {
    return {};
  }

  async create(worker: WorkerSpec): Promise<CreateOutcome> {
    const reason = this.#gone.get(worker.slot);
    if (reason !== undefined) return { kind: 'exited', reason };
    const { calls } = await this.#connect();
    try {
      const made = await calls.makePod(worker);
      if ('ended' in made) return made.ended;
      await calls.makeSecret(worker, made.uid);
      return { kind: 'created', handle: { podUid: made.uid } };
    } catch (error) {
      if (error instanceof ApiFault) return outcomeOfFault(error);
      throw error;
    }
  }

  /** The grace is the pod's own (`terminationGracePeriodSeconds`). */
  async destroy(slot: string, handle: WorkerHandle): Promise<void> {
    const link = await this.#connect();
    const ear = new Ear(this.#options.clock, slot);
    this.#ears.add(ear);
    try {
      const uid = await link.calls.deletePod(slot, handle.podUid);
      await link.calls.deleteSecret(slot);
      if (uid !== undefined) await this.#untilGone(link, uid, ear);
    } catch (error) {
      throw error instanceof ApiFault ? unavailable(`did not stop ${slot}`, error) : error;
    } finally {
      this.#ears.delete(ear);
    }
    this.#forget(slot, faultText('deleted', 'it was stopped'));
  }

  async list(): Promise<{ readonly workers: readonly WorkerStatus[]; readonly silentHosts: readonly string[] }> {
    // Shards that ask while a list is under way get that one: whatever is older than their question is in it.
    this.#listing ??= this.#listNow().finally(() => {
      this.#listing = undefined;
    });
    return { workers: await this.#listing, silentHosts: [] };
  }

  watch(listener: (status: WorkerStatus) => void): Subscription {
    this.#listeners.add(listener);
    this.#connect().catch((error: unknown) => this.#options.logger.error({ error: String(error) }, 'Kubernetes cannot be reached'));
    return { unsubscribe: () => void this.#listeners.delete(listener) };
  }

  noteOrg(slot: string, handle: WorkerHandle, org: string): void {
    void this.#link?.then(
      ({ watch }) => {
        if (watch.get(slot)?.metadata?.labels?.[LABELS.org] !== orgLabel(org)) this.#orgs.note(slot, handle.podUid, org);
      },
      () => undefined,
    );
  }

  describe(): readonly HostStatus[] {
    return [];
  }

  forget(): boolean {
    return false;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#listeners.clear();
    this.#orgs.close();
    this.#showing?.cancel();
    for (const { timer } of this.#stuck.values()) timer.cancel();
    for (const ear of this.#ears) ear.wake(false);
    const link = await this.#link?.catch(() => undefined);
    await link?.watch.close();
    link?.transport.close();
  }

  // --- the way there ---------------------------------------------------------------------------------------------------

  /** @throws MusterError `driver-unavailable` where the configuration leads nowhere; the next call tries anew */
  #connect(): Promise<Link> {
    if (this.#isClosed) throw unavailable('is closed', undefined);
    this.#link ??= this.#open().catch((error: unknown) => {
      this.#link = undefined;
      throw unavailable('is not configured', error);
    });
    return this.#link;
  }

  async #open(): Promise<Link> {
    const { clock, random, logger, cluster, natsUrl, connection } = this.#options;
    const timings = this.#timings;
    const { transport, namespace } = await openTransport(connection);
    const api = new ApiClient({
      transport,
      clock,
      bucket: new TokenBucket(clock, { perSecond: timings.callsPerSecond, burst: timings.callsBurst }),
      onAnswer: (method, status) => this.#meters.answered(method, status),
    });
    const path = `/api/v1/namespaces/${namespace}`;
    const watch = new ObjectWatch<Pod>({
      api,
      clock,
      random,
      logger,
      path: `${path}/pods`,
      selector: clusterSelector(cluster),
      timings,
      slim: slimPod,
      seen: (pod) => this.#seen(pod),
      gone: (pod) => this.#wentAway(pod),
      relisted: (why) => this.#meters.relisted(why),
    });
    watch.start();
    this.#show(watch);
    logger.info({ namespace }, 'pods are made and watched');
    const calls = new PodCalls({ api, path, defaults: { cluster, namespace, natsUrl }, timeoutMs: timings.callTimeoutMs });
    return { api, transport, watch, calls, podsPath: `${path}/pods`, secretsPath: `${path}/secrets` };
  }

  #show(watch: ObjectWatch<Pod>): void {
    this.#meters.staleness(watch.stalenessMs);
    this.#showing = this.#options.clock.setTimer(SHOW_MS, () => {
      if (!this.#isClosed) this.#show(watch);
    });
  }

  async #untilGone(link: Link, uid: string, ear: Ear): Promise<void> {
    const { clock } = this.#options;
    const endsMs = clock.monotonicMs() + this.#timings.goneWaitMs;
    for (;;) {
      // The watch tells; where it does not, a look now and then.
      if (await ear.heardWithin(this.#timings.goneCheckMs)) return;
      if ((await link.calls.uidOf(ear.slot)) !== uid) return;
      if (this.#isClosed) throw unavailable('is closed', undefined);
      if (clock.monotonicMs() >= endsMs) throw unavailable(`has not ended ${ear.slot} yet`, new Error('its grace is not over'));
    }
  }

  // --- what is there ---------------------------------------------------------------------------------------------------

  async #listNow(): Promise<readonly WorkerStatus[]> {
    const { api, podsPath, secretsPath } = await this.#connect();
    const { clock, cluster } = this.#options;
    const request = { selector: clusterSelector(cluster), pageSize: this.#timings.pageSize, timeoutMs: this.#timings.callTimeoutMs };
    try {
      const areSecretsDue = clock.monotonicMs() - this.#secretsReadMs >= this.#timings.secretsEveryMs;
      // The Secrets first: one whose pod is not in the younger list has none.
      const secrets = areSecretsDue ? (await listAll<Secret>(api, { ...request, path: secretsPath })).items : [];
      const { items } = await listAll<Pod>(api, { ...request, path: podsPath });
      if (areSecretsDue) this.#secretsReadMs = clock.monotonicMs();
      const withPod = new Set(items.map(({ metadata }) => metadata?.name));
      const pods = items.map((pod) => this.#viewOf(pod)?.status);
      const left = secrets
        .filter(({ metadata }) => !withPod.has(metadata?.name))
        .map((secret) => viewOfSecret(secret, this.#ageOf(secret)));
      return [...pods, ...left].filter((status) => status !== undefined);
    } catch (error) {
      throw error instanceof ApiFault ? unavailable('did not list the pods', error) : error;
    }
  }

  #seen(pod: Pod): void {
    const view = this.#viewOf(pod);
    if (view === undefined) return;
    const { slot, state, isLeaving, reason } = view.status;
    if (state === 'exited' || isLeaving === true) this.#neverAgain(slot, reason ?? state);
    if (view.stuck === 'soon' && !this.#stuck.has(slot)) {
      const { clock } = this.#options;
      const timer = clock.setTimer(this.#timings.patienceMs, () => void this.#patienceOver(slot));
      this.#stuck.set(slot, { sinceMs: clock.monotonicMs(), timer });
    } else if (view.stuck !== 'soon') this.#calm(slot);
    this.#tell(view.status);
  }

  async #patienceOver(slot: string): Promise<void> {
    const pod = (await this.#link)?.watch.get(slot);
    if (pod !== undefined) this.#seen(pod);
  }

  #calm(slot: string): void {
    this.#stuck.get(slot)?.timer.cancel();
    this.#stuck.delete(slot);
  }

  #wentAway(pod: Pod): void {
    const status = viewOfGone(pod, this.#ageOf(pod));
    if (status === undefined) return;
    this.#forget(status.slot, status.reason ?? faultText('deleted', undefined));
    for (const ear of this.#ears) if (ear.slot === status.slot) ear.wake(true);
    this.#tell(status);
  }

  #tell(status: WorkerStatus): void {
    for (const listener of this.#listeners) {
      try {
        listener(status);
      } catch (error) {
        this.#options.logger.error({ slot: status.slot, error: String(error) }, 'a listener failed');
      }
    }
  }

  #viewOf(pod: Pod) {
    const since = this.#stuck.get(pod.metadata?.name ?? '')?.sinceMs;
    const isOver = since !== undefined && this.#options.clock.monotonicMs() - since >= this.#timings.patienceMs;
    return viewOfPod(pod, this.#ageOf(pod), isOver);
  }

  /** As long as this replica knows it, which is no longer than it is: no clock of another machine is asked. */
  #ageOf(object: Pod | Secret): number {
    const nowMs = this.#options.clock.monotonicMs();
    const { slot } = slotOf(object) ?? { slot: '' };
    const firstMs = this.#firstSeenMs.get(slot) ?? nowMs;
    this.#firstSeenMs.set(slot, firstMs);
    return nowMs - firstMs;
  }

  #forget(slot: string, reason: string): void {
    this.#calm(slot);
    this.#firstSeenMs.delete(slot);
    this.#neverAgain(slot, reason);
  }

  #neverAgain(slot: string, reason: string): void {
    if (!this.#gone.has(slot)) this.#gone.set(slot, reason);
    if (this.#gone.size <= GONE_MAX) return;
    for (const oldest of this.#gone.keys()) {
      this.#gone.delete(oldest);
      break;
    }
  }
}

/** Whether the pod of a slot was heard to go, from before it was told to. */
class Ear {
  readonly slot: string;
  readonly #clock: Clock;
  #hasHeard = false;
  #waiting: (() => void) | undefined;

  constructor(clock: Clock, slot: string) {
    this.#clock = clock;
    this.slot = slot;
  }

  wake(isGone: boolean): void {
    this.#hasHeard ||= isGone;
    this.#waiting?.();
  }

  async heardWithin(delayMs: number): Promise<boolean> {
    if (!this.#hasHeard) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.setTimer(delayMs, resolve);
        this.#waiting = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    return this.#hasHeard;
  }
}
