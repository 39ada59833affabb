// Runs the pods that have a node, and writes down how they fare, in the forms that a real kubelet writes.
//
//   L1. A pod is started once, however often it is heard of.
//   L2. What befalls a pod is written in the order in which it happened.
//   L3. A pod that is being deleted is stopped within its grace period, and deleted for good after it has ended; by its
//       uid, so that no later pod of the name is touched.
import type { Clock } from '@muster/ports';
import { type JsonObject, type KubernetesObject, listAt, objectAt, stringAt, timestamp } from '../object.ts';
import type { ApiClient } from './api-client.ts';
import type { PodChange, PodRuntime, RunningPod } from './pod-runtime.ts';

const MERGE = { contentType: 'application/merge-patch+json' };
const MS_PER_SECOND = 1000;

interface Run {
  readonly pod: KubernetesObject;
  readonly startedAt: string;
  running: RunningPod;
  podIp: string | undefined;
  runningSince: string | undefined;
  isReady: boolean;
  isStopping: boolean;
  ended: { readonly exitCode: number; readonly reason: string } | undefined;
  restarts: number;
  writes: Promise<void>;
}

export class Kubelet {
  readonly #client: ApiClient;
  readonly #clock: Clock;
  readonly #runtime: PodRuntime;
  readonly #report: (error: unknown) => void;
  readonly #runs = new Map<string, Run>();
  /** Nodes from which nothing is heard any more. */
  readonly #lostNodes = new Set<string>();
  #isClosed = false;

  constructor(client: ApiClient, clock: Clock, runtime: PodRuntime, report: (error: unknown) => void) {
    this.#client = client;
    this.#clock = clock;
    this.#runtime = runtime;
    this.#report = report;
  }

  /** Looks at a pod as it is now; undefined: it is gone. */
  see(uid: string, pod: KubernetesObject | undefined): void {
    const run = this.#runs.get(uid);
    if (pod === undefined) {
      this.#runs.delete(uid);
      if (run !== undefined && !run.isStopping) this.#stop(run, 0).catch(this.#report);
      return;
    }
    const node = stringAt(pod, 'spec', 'nodeName') ?? '';
    if (node === '' || this.#lostNodes.has(node)) return;
    const phase = stringAt(pod, 'status', 'phase');
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (run?.isStopping !== true) this.#end(run, pod).catch(this.#report);
    } else if (run === undefined && phase !== 'Failed' && phase !== 'Succeeded') {
      this.#start(uid, pod);
    }
  }

  /** Something befalls a pod that runs. @throws Error where it does not */
  befall(uid: string, change: PodChange): void {
    const run = this.#runs.get(uid);
    if (run === undefined) throw new Error(`no pod with uid ${uid} was started`);
    run.running.befall(change);
  }

  /** Nothing is heard of the node's pods any more. They may go on running. */
  loseNode(node: string): void {
    this.#lostNodes.add(node);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#runs.values()].map(({ writes }) => writes));
    await this.#runtime.close();
  }

  #start(uid: string, pod: KubernetesObject): void {
    const early: PodChange[] = [];
    let run: Run | undefined;
    const tell = (change: PodChange): void => {
      if (run === undefined) early.push(change);
      else this.#hear(run, change);
    };
    const running = this.#runtime.start(pod, tell);
    run = {
      pod,
      startedAt: this.#now(),
      running,
      podIp: undefined,
      runningSince: undefined,
      isReady: false,
      isStopping: false,
      ended: undefined,
      restarts: 0,
      writes: Promise.resolve(),
    };
    this.#runs.set(uid, run);
    this.#write(run, this.#statusOf(run, 'Pending', { waiting: { reason: 'ContainerCreating' } }));
    for (const change of early) this.#hear(run, change);
  }

  #hear(run: Run, change: PodChange): void {
    if (run.isStopping || run.ended !== undefined) return;
    switch (change.kind) {
      case 'running':
        run.podIp = change.podIp;
        run.runningSince = this.#now();
        this.#write(run, this.#statusOf(run, 'Running', { running: { startedAt: run.runningSince } }));
        return;
      case 'ready':
      case 'not-ready':
        run.isReady = change.kind === 'ready';
        this.#write(run, this.#statusOf(run, 'Running', { running: { startedAt: run.runningSince } }));
        return;
      case 'waiting':
        this.#write(run, this.#statusOf(run, 'Pending', { waiting: { reason: change.reason, message: change.message } }));
        return;
      case 'ended':
        this.#ended(run, change);
        return;
      case 'evicted': {
        run.ended = { exitCode: 137, reason: 'Error' };
        run.isReady = false;
        const disruption = this.#condition('DisruptionTarget', true, 'TerminationByKubelet', change.message);
        const status = this.#statusOf(run, 'Failed', { terminated: this.#terminated(run, 137, 'Error') }, [disruption]);
        this.#write(run, { ...status, reason: 'Evicted', message: change.message });
      }
    }
  }

  #ended(run: Run, { exitCode, reason }: { readonly exitCode: number; readonly reason: string }): void {
    run.isReady = false;
    const policy = stringAt(run.pod, 'spec', 'restartPolicy') ?? 'Always';
    const terminated = this.#terminated(run, exitCode, reason);
    if (policy === 'Never' || (policy === 'OnFailure' && exitCode === 0)) {
      run.ended = { exitCode, reason };
      this.#write(run, this.#statusOf(run, exitCode === 0 ? 'Succeeded' : 'Failed', { terminated }));
      return;
    }
    run.restarts += 1;
    const message = `back-off 10s restarting failed container=${this.#containers(run)[0]} pod=${run.pod.metadata.name}`;
    this.#write(run, this.#statusOf(run, 'Running', { waiting: { reason: 'CrashLoopBackOff', message } }, [], { terminated }));
  }

  async #end(run: Run | undefined, pod: KubernetesObject): Promise<void> {
    const { name, namespace, uid, deletionGracePeriodSeconds = 0 } = pod.metadata;
    if (run !== undefined) {
      await this.#stop(run, deletionGracePeriodSeconds * MS_PER_SECOND);
      if (run.ended === undefined && run.podIp !== undefined) {
        run.isReady = false;
        this.#write(run, this.#statusOf(run, 'Failed', { terminated: this.#terminated(run, 137, 'Error') }));
      }
      await run.writes;
    }
    if (this.#isClosed || this.#lostNodes.has(stringAt(pod, 'spec', 'nodeName') ?? '')) return;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0, preconditions: { uid } };
    await this.#client.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}`, { body }, [404, 409]);
  }

  async #stop(run: Run, graceMs: number): Promise<void> {
    run.isStopping = true;
    await run.running.stop(graceMs);
  }

  /** After what is being written already (L2). */
  #write(run: Run, status: JsonObject): void {
    const { name, namespace, uid } = run.pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
    run.writes = run.writes
      .then(async () => {
        if (this.#lostNodes.has(stringAt(run.pod, 'spec', 'nodeName') ?? '') || this.#isClosed) return;
        await this.#client.call('PATCH', path, { ...MERGE, body: { metadata: { uid }, status } }, [404, 409]);
      })
      .catch(this.#report);
  }

  #statusOf(run: Run, phase: string, state: JsonObject, more: readonly JsonObject[] = [], lastState: JsonObject = {}): JsonObject {
    const containers = this.#containers(run);
    const unready = `containers with unready status: [${containers.join(' ')}]`;
    const isOver = phase === 'Failed' || phase === 'Succeeded';
    const reason = isOver ? (phase === 'Failed' ? 'PodFailed' : 'PodCompleted') : 'ContainersNotReady';
    const why = run.isReady ? [] : isOver ? [reason] : [reason, unready];
    return {
      phase,
      ...(run.podIp === undefined ? {} : { podIP: run.podIp, podIPs: [{ ip: run.podIp }] }),
      hostIP: '10.1.0.1',
      startTime: run.startedAt,
      conditions: [
        this.#condition('PodScheduled', true),
        this.#condition('Initialized', true),
        this.#condition('ContainersReady', run.isReady, ...why),
        this.#condition('Ready', run.isReady, ...why),
        ...more,
      ],
      containerStatuses: containers.map((name, at) => ({
        name,
        state,
        lastState,
        ready: run.isReady,
        started: run.runningSince !== undefined && !isOver,
        restartCount: run.restarts,
        image: stringAt(listAt(run.pod, 'spec', 'containers')[at], 'image') ?? '',
        imageID: '',
      })),
    };
  }

  #terminated(run: Run, exitCode: number, reason: string): JsonObject {
    return { exitCode, reason, startedAt: run.runningSince ?? run.startedAt, finishedAt: this.#now() };
  }

  #condition(type: string, isTrue: boolean, reason?: string, message?: string): JsonObject {
    const base = { type, status: isTrue ? 'True' : 'False', lastProbeTime: null, lastTransitionTime: this.#now() };
    return { ...base, ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) };
  }

  #containers(run: Run): readonly string[] {
    return listAt(run.pod, 'spec', 'containers').map((one) => String(objectAt(one)['name']));
  }

  #now(): string {
    return timestamp(this.#clock.wallMs());
  }
}
