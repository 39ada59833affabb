// Pods whose worker really works: for each pod that a node takes, the worker of the SDK, with the environment that the pod and
// its Secret give it. It runs in this process, so that a test can have many.
import { connectNats, type NatsConnected } from '@muster/nats';
import { type Clock, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import {
  type ApiClient,
  environmentOf,
  type JsonObject,
  type KubernetesObject,
  type PodChange,
  type PodEnd,
  type PodRuntime,
  type RunningPod,
} from '@muster/testkit';
import { startWorker, type Worker } from '@muster/worker';

const HOST_IP = '10.1.0.1';
const COMPLETED: PodEnd = { exitCode: 0, reason: 'Completed' };

/** `PodRuntime` of the SDK's workers, which take every activation. */
export class WorkerPods implements PodRuntime, AsyncDisposable {
  /** Workers that run, by slot. */
  readonly running = new Map<string, Worker>();
  /** Every slot that a worker was started for, in order. */
  readonly started: string[] = [];
  readonly #api: ApiClient;
  readonly #clock: Clock = new SystemClock();
  readonly #links = new Map<string, Promise<NatsConnected>>();
  #made = 0;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  start(pod: KubernetesObject, tell: (change: PodChange) => void): RunningPod {
    const ending = new AbortController();
    this.#made += 1;
    const podIp = `10.244.${this.#made >> 8}.${this.#made & 255}`;
    const starting = this.#run(pod, podIp, tell, ending.signal).catch((error: unknown) => {
      tell({ kind: 'waiting', reason: 'RunContainerError', message: String(error) });
      return undefined;
    });
    return {
      befall: tell,
      stop: async (graceMs) => {
        ending.abort();
        const worker = await starting;
        await worker?.drain('SIGTERM', graceMs);
        return COMPLETED;
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.running.values()].map((worker) => worker.drain('the end', 1_000)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    for (const link of this.#links.values()) await (await link).close();
  }

  async #run(pod: KubernetesObject, podIp: string, tell: (change: PodChange) => void, signal: AbortSignal): Promise<Worker | undefined> {
    const [container = {}] = (pod['spec'] as { readonly containers: readonly JsonObject[] }).containers;
    const env = await environmentOf(this.#api, pod, container, { podIp, hostIp: HOST_IP });
    const link = await this.#link(env['MUSTER_NATS_URL'] ?? '');
    if (signal.aborted) return undefined;
    tell({ kind: 'running', podIp });
    const slot = env['MUSTER_SLOT'] ?? '';
    const worker = startWorker({
      bus: link.bus,
      clock: this.#clock,
      random: new SystemRandom(),
      logger: silentLogger,
      identity: { cluster: env['MUSTER_CLUSTER'] ?? '', slot, shard: env['MUSTER_SHARD'] ?? '', token: env['MUSTER_TOKEN'] ?? '' },
      endpoint: `http://${podIp}:8080`,
      version: '0.0.0',
      onActivate: () => undefined,
    });
    this.started.push(slot);
    this.running.set(slot, worker);
    void worker.ended.then(() => {
      this.running.delete(slot);
      tell({ kind: 'ended', ...COMPLETED });
    });
    tell({ kind: 'ready' });
    return worker;
  }

  #link(url: string): Promise<NatsConnected> {
    let link = this.#links.get(url);
    if (link === undefined) {
      const tools = { clock: this.#clock, random: new SystemRandom(), logger: silentLogger };
      link = connectNats({ servers: url.split(','), name: 'worker pods', ...tools });
      this.#links.set(url, link);
    }
    return link;
  }
}
