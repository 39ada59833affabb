// The rest of a cluster, played over the API: a scheduler, nodes that come, and a kubelet. Works on the double and on a real
// API server alike.
//
//   await using cluster = await startSimulatedCluster(double.access(), {
//     nodes: { initial: 0, podsPerNode: 6, arriveMs: 30_000, max: 10 },
//     story: (pod) => (pod.metadata.name === 'slot-c' ? podStories.oom(500) : { startMs: 200 }),
//   });
import { type Clock, SystemClock } from '@muster/ports';
import type { KubernetesAccess } from '../access.ts';
import { type KubernetesObject, stringAt } from '../object.ts';
import { ApiClient } from './api-client.ts';
import { Kubelet } from './kubelet.ts';
import { type NodeLoss, playNodeLoss } from './node-loss.ts';
import { PlayedPods, type PodStory } from './played-pods.ts';
import { PodMirror } from './pod-mirror.ts';
import type { PodChange, PodRuntime } from './pod-runtime.ts';
import { type NodePlan, Scheduler } from './scheduler.ts';

export interface SimulatedClusterOptions {
  readonly clock?: Clock;
  readonly nodes?: NodePlan;
  /** How each pod fares. Default: it runs after 100 ms, and is ready. */
  readonly story?: (pod: KubernetesObject) => PodStory;
  /** Instead of stories. */
  readonly runtime?: PodRuntime;
  /** Only the pods of this namespace. Default: all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  /** Hears of what failed and was left. Default: nobody does. */
  readonly onError?: (error: unknown) => void;
}

/** What is played. Made by `startSimulatedCluster`. */
export class SimulatedCluster implements AsyncDisposable {
  readonly #client: ApiClient;
  readonly #clock: Clock;
  readonly #report: (error: unknown) => void;
  readonly #lost = new Set<string>();
  readonly #mirror: PodMirror;
  readonly #scheduler: Scheduler;
  readonly #kubelet: Kubelet;

  constructor(access: KubernetesAccess, options: SimulatedClusterOptions = {}) {
    const { clock = new SystemClock(), story = () => ({}), nodes = {}, onError = () => {} } = options;
    this.#client = new ApiClient(access);
    this.#clock = clock;
    this.#report = onError;
    const scope = { namespace: options.namespace, labelSelector: options.labelSelector };
    this.#mirror = new PodMirror(this.#client, clock, scope, (uid, pod) => {
      this.#kubelet.see(uid, pod);
      this.#scheduler.wake();
    });
    this.#scheduler = new Scheduler(this.#client, clock, this.#mirror.pods, nodes, onError);
    this.#kubelet = new Kubelet(this.#client, clock, options.runtime ?? new PlayedPods(clock, story), onError);
  }

  /** Names of the nodes that take pods. */
  get nodes(): readonly string[] {
    return this.#scheduler.nodes;
  }

  async start(): Promise<void> {
    await this.#mirror.start();
  }

  /** Another node, at once. */
  addNode(): string {
    return this.#scheduler.addNode();
  }

  /** Pods stay where they are, unplaced, until `resume`. */
  pauseScheduler(): void {
    this.#scheduler.isPaused = true;
  }

  resumeScheduler(): void {
    this.#scheduler.isPaused = false;
    this.#scheduler.wake();
  }

  /** Something befalls a pod that was started. @throws Error where it was not */
  befall(namespace: string, name: string, change: PodChange): void {
    this.#kubelet.befall(this.#find(namespace, name).metadata.uid, change);
  }

  /** Nothing is heard of the node any more; `loss` says what the control plane makes of it, and when. */
  loseNode(name: string, loss: NodeLoss = {}): void {
    this.#scheduler.removeNode(name);
    this.#kubelet.loseNode(name);
    this.#lost.add(name);
    const parts = { client: this.#client, clock: this.#clock, podsOf: () => this.#podsOf(name), isLost: () => this.#lost.has(name) };
    playNodeLoss(parts, loss).catch(this.#report);
  }

  /** It is heard of again, and does what was asked of it meanwhile. */
  returnNode(name: string): void {
    this.#lost.delete(name);
    this.#kubelet.returnNode(name, this.#podsOf(name));
    this.#scheduler.returnNode(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lost.clear();
    this.#mirror.close();
    this.#scheduler.close();
    await this.#kubelet.close();
    this.#client.close();
  }

  #podsOf(node: string): readonly KubernetesObject[] {
    return [...this.#mirror.pods.values()].filter((pod) => stringAt(pod, 'spec', 'nodeName') === node);
  }

  #find(namespace: string, name: string): KubernetesObject {
    const found = [...this.#mirror.pods.values()].find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
    if (found === undefined) throw new Error(`no pod ${namespace}/${name} is known`);
    return found;
  }
}

/** The rest of a cluster; `await using` ends it, and whatever it runs. */
export async function startSimulatedCluster(access: KubernetesAccess, options: SimulatedClusterOptions = {}): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster(access, options);
  try {
    await cluster.start();
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}
