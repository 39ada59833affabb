// Gives pods their nodes, and brings nodes when there are too few: a scheduler and an autoscaler.
//
//   N1. A node never has more pods than it takes.
//   N2. A pod that fits nowhere is marked Unschedulable once, and placed when a node has come.
//   N3. A node is ordered for every so many pods that wait, less those already on their way.
import type { Clock, Timer } from '@muster/ports';
import { type KubernetesObject, listAt, objectAt, stringAt, timestamp } from '../object.ts';
import type { ApiClient } from './api-client.ts';

/** How nodes come. */
export interface NodePlan {
  /** There from the start. Default 3. */
  readonly initial?: number;
  /** Default 110. */
  readonly podsPerNode?: number;
  /** From the order of a node until it takes pods. Default 30 s. */
  readonly arriveMs?: number;
  /** Ordered ones included. Default: the initial ones, so that none comes. */
  readonly max?: number;
}

const STRATEGIC = { contentType: 'application/strategic-merge-patch+json' };

export class Scheduler {
  readonly #client: ApiClient;
  readonly #clock: Clock;
  readonly #pods: ReadonlyMap<string, KubernetesObject>;
  readonly #podsPerNode: number;
  readonly #arriveMs: number;
  readonly #max: number;
  readonly #report: (error: unknown) => void;
  /** Names of those that take pods. */
  readonly #nodes = new Set<string>();
  readonly #timers = new Set<Timer>();
  /** By the pod's uid: the node that it is being given. */
  readonly #binding = new Map<string, string>();
  readonly #marked = new Set<string>();
  #made = 0;
  #arriving = 0;
  #sweep: Timer | undefined;
  isPaused = false;

  constructor(
    client: ApiClient,
    clock: Clock,
    pods: ReadonlyMap<string, KubernetesObject>,
    plan: NodePlan,
    report: (error: unknown) => void,
  ) {
    const { initial = 3, podsPerNode = 110, arriveMs = 30_000, max = initial } = plan;
    this.#client = client;
    this.#clock = clock;
    this.#pods = pods;
    this.#podsPerNode = podsPerNode;
    this.#arriveMs = arriveMs;
    this.#max = max;
    this.#report = report;
    for (let count = 0; count < initial; count++) this.addNode();
  }

  get nodes(): readonly string[] {
    return [...this.#nodes];
  }

  addNode(): string {
    this.#made += 1;
    const name = `node-${this.#made}`;
    this.#nodes.add(name);
    this.wake();
    return name;
  }

  /** It takes no more pods. */
  removeNode(name: string): void {
    this.#nodes.delete(name);
  }

  /** It takes pods again. */
  returnNode(name: string): void {
    this.#nodes.add(name);
    this.wake();
  }

  /** Looks at all pods, soon. */
  wake(): void {
    this.#sweep ??= this.#clock.setTimer(0, () => {
      this.#sweep = undefined;
      if (!this.isPaused) this.#place();
    });
  }

  close(): void {
    this.#sweep?.cancel();
    for (const timer of this.#timers) timer.cancel();
  }

  #place(): void {
    const room = this.#room();
    let waiting = 0;
    for (const pod of this.#pods.values()) {
      if (!isUnplaced(pod) || this.#binding.has(pod.metadata.uid)) continue;
      const node = room.find(({ free }) => free > 0);
      if (node === undefined) {
        waiting += 1;
        this.#markUnschedulable(pod);
      } else {
        node.free -= 1;
        this.#bind(pod, node.name);
      }
    }
    this.#order(waiting);
  }

  #room(): { readonly name: string; free: number }[] {
    const used = new Map<string, number>();
    for (const pod of this.#pods.values()) {
      const node = stringAt(pod, 'spec', 'nodeName') ?? this.#binding.get(pod.metadata.uid);
      const phase = stringAt(pod, 'status', 'phase');
      if (node !== undefined && phase !== 'Failed' && phase !== 'Succeeded') used.set(node, (used.get(node) ?? 0) + 1);
    }
    return [...this.#nodes].map((name) => ({ name, free: this.#podsPerNode - (used.get(name) ?? 0) }));
  }

  #bind(pod: KubernetesObject, node: string): void {
    const { uid, name, namespace } = pod.metadata;
    this.#binding.set(uid, node);
    this.#marked.delete(uid);
    const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target: { apiVersion: 'v1', kind: 'Node', name: node } };
    this.#client
      .call('POST', `/api/v1/namespaces/${namespace}/pods/${name}/binding`, { body }, [404, 409])
      .catch(this.#report)
      // Kept until the pod shows its node: its place is taken from now on.
      .finally(() => this.#later(1000, () => this.#binding.delete(uid)));
  }

  #markUnschedulable(pod: KubernetesObject): void {
    const { uid, name, namespace } = pod.metadata;
    if (this.#marked.has(uid) || hasUnschedulable(pod)) return;
    this.#marked.add(uid);
    const count = this.#nodes.size;
    const message = `0/${count} nodes are available: ${count} Insufficient cpu. preemption: 0/${count} nodes are available: ${count} No preemption victims found for incoming pod.`;
    const lastTransitionTime = timestamp(this.#clock.wallMs());
    const condition = { type: 'PodScheduled', status: 'False', lastProbeTime: null, lastTransitionTime, reason: 'Unschedulable', message };
    this.#client
      .call(
        'PATCH',
        `/api/v1/namespaces/${namespace}/pods/${name}/status`,
        { ...STRATEGIC, body: { status: { conditions: [condition] } } },
        [404],
      )
      .catch((error: unknown) => {
        this.#marked.delete(uid);
        this.#report(error);
      });
  }

  #order(waiting: number): void {
    while (this.#arriving * this.#podsPerNode < waiting && this.#nodes.size + this.#arriving < this.#max) {
      this.#arriving += 1;
      this.#later(this.#arriveMs, () => {
        this.#arriving -= 1;
        this.addNode();
      });
    }
  }

  #later(delayMs: number, fire: () => void): void {
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      fire();
    });
    this.#timers.add(timer);
  }
}

function isUnplaced(pod: KubernetesObject): boolean {
  const { nodeName, schedulerName = 'default-scheduler' } = objectAt(pod, 'spec');
  const isLive = pod.metadata.deletionTimestamp === undefined && stringAt(pod, 'status', 'phase') === 'Pending';
  return isLive && schedulerName === 'default-scheduler' && (nodeName === undefined || nodeName === '');
}

function hasUnschedulable(pod: KubernetesObject): boolean {
  return listAt(pod, 'status', 'conditions').some((one) => objectAt(one)['reason'] === 'Unschedulable');
}
