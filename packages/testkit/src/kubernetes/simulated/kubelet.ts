// Runs the pods that have a node, and writes down how they fare, in the forms that a real kubelet writes.
//
//   L1. A pod is started once, however often it is heard of.
//   L2. What befalls a pod is written in the order in which it happened.
//   L3. A pod starts when the Secrets and ConfigMaps that it needs are there, and says so until then.
//   L4. A pod that is being deleted is stopped within its grace period, and deleted for good after it has ended; by its
//       uid, so that no later pod of the name is touched.
import type { Clock, Timer } from '@muster/ports';
import { type JsonObject, type KubernetesObject, listAt, objectAt, stringAt, timestamp } from '../object.ts';
import type { ApiClient } from './api-client.ts';
import { missingConfig } from './pod-environment.ts';
import type { PodChange, PodEnd, PodRuntime, RunningPod } from './pod-runtime.ts';

const MERGE = { contentType: 'application/merge-patch+json' };
const MS_PER_SECOND = 1000;

/** Between two looks for a Secret or ConfigMap that a pod needs. */
const CONFIG_RETRY_MS = 200;

class Run {
  readonly pod: KubernetesObject;
  readonly startedAt: string;
  /** Undefined until everything is there that it needs. */
  running: RunningPod | undefined;
  podIp: string | undefined;
  runningSince: string | undefined;
  isReady = false;
  isStopping = false;
  end: PodEnd | undefined;
  restarts = 0;
  retry: Timer | undefined;
  writes: Promise<void> = Promise.resolve();

  constructor(pod: KubernetesObject, startedAt: string) {
    this.pod = pod;
    this.startedAt = startedAt;
  }

  get node(): string {
    return stringAt(this.pod, 'spec', 'nodeName') ?? '';
  }

  get containers(): readonly string[] {
    return listAt(this.pod, 'spec', 'containers').map((one) => String(objectAt(one)['name']));
  }
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
      if (run?.isStopping !== true) this.#delete(run, pod).catch(this.#report);
    } else if (run === undefined && phase !== 'Failed' && phase !== 'Succeeded') {
      this.#start(uid, pod);
    }
  }

  /** Something befalls a pod that runs. @throws Error where it does not */
  befall(uid: string, change: PodChange): void {
    const running = this.#runs.get(uid)?.running;
    if (running === undefined) throw new Error(`no pod with uid ${uid} runs`);
    running.befall(change);
  }

  /** Nothing is heard of the node's pods any more. They may go on running. */
  loseNode(node: string): void {
    this.#lostNodes.add(node);
  }

  /** The node is back: what has happened to its pods meanwhile is written, and what was asked of it is done. */
  returnNode(node: string, pods: Iterable<KubernetesObject>): void {
    this.#lostNodes.delete(node);
    for (const run of this.#runs.values()) if (run.node === node) this.#writePresent(run);
    for (const pod of pods) this.see(pod.metadata.uid, pod);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { retry } of this.#runs.values()) retry?.cancel();
    await this.#runtime.close();
    await Promise.all([...this.#runs.values()].map(({ writes }) => writes));
  }

  #start(uid: string, pod: KubernetesObject): void {
    const run = new Run(pod, this.#now());
    this.#runs.set(uid, run);
    this.#write(run, this.#statusOf(run, 'Pending', { waiting: { reason: 'ContainerCreating' } }));
    this.#prepare(run, '').catch(this.#report);
  }

  /** Starts it when what its environment refers to is there; until then it says what is missing. */
  async #prepare(run: Run, said: string): Promise<void> {
    const missing = await missingConfig(this.#client, run.pod);
    if (run.isStopping || this.#isClosed) return;
    if (missing === undefined) {
      this.#run(run);
      return;
    }
    if (missing !== said) this.#hear(run, { kind: 'waiting', reason: 'CreateContainerConfigError', message: missing });
    run.retry = this.#clock.setTimer(CONFIG_RETRY_MS, () => void this.#prepare(run, missing).catch(this.#report));
  }

  #run(run: Run): void {
    const early: PodChange[] = [];
    run.running = this.#runtime.start(run.pod, (change) => {
      if (run.running === undefined) early.push(change);
      else this.#hear(run, change);
    });
    for (const change of early) this.#hear(run, change);
  }

  #hear(run: Run, change: PodChange): void {
    if (run.isStopping || run.end !== undefined) return;
    switch (change.kind) {
      case 'running':
        run.podIp = change.podIp;
        run.runningSince = this.#now();
        this.#writePresent(run);
        return;
      case 'ready':
      case 'not-ready':
        run.isReady = change.kind === 'ready';
        this.#writePresent(run);
        return;
      case 'waiting':
        this.#write(run, this.#statusOf(run, 'Pending', { waiting: { reason: change.reason, message: change.message } }));
        return;
      case 'ended':
        this.#ended(run, change);
        return;
      case 'evicted': {
        run.end = { exitCode: 137, reason: 'Error' };
        run.isReady = false;
        const disruption = this.#condition('DisruptionTarget', true, 'TerminationByKubelet', change.message);
        const status = this.#statusOf(run, 'Failed', { terminated: this.#terminated(run, run.end) }, [disruption]);
        this.#write(run, { ...status, reason: 'Evicted', message: change.message });
      }
    }
  }

  /** As it is now, unless it has not begun. */
  #writePresent(run: Run): void {
    if (run.end !== undefined) this.#write(run, this.#endStatus(run, run.end));
    else if (run.runningSince !== undefined) this.#write(run, this.#statusOf(run, 'Running', { running: { startedAt: run.runningSince } }));
  }

  #endStatus(run: Run, end: PodEnd): JsonObject {
    return this.#statusOf(run, end.exitCode === 0 ? 'Succeeded' : 'Failed', { terminated: this.#terminated(run, end) });
  }

  #ended(run: Run, { exitCode, reason }: PodEnd): void {
    run.isReady = false;
    const policy = stringAt(run.pod, 'spec', 'restartPolicy') ?? 'Always';
    if (policy === 'Never' || (policy === 'OnFailure' && exitCode === 0)) {
      run.end = { exitCode, reason };
      this.#write(run, this.#endStatus(run, run.end));
      return;
    }
    run.restarts += 1;
    const message = `back-off 10s restarting failed container=${run.containers[0]} pod=${run.pod.metadata.name}`;
    const lastState = { terminated: this.#terminated(run, { exitCode, reason }) };
    this.#write(run, this.#statusOf(run, 'Running', { waiting: { reason: 'CrashLoopBackOff', message } }, [], lastState));
  }

  async #delete(run: Run | undefined, pod: KubernetesObject): Promise<void> {
    const { name, namespace, uid, deletionGracePeriodSeconds = 0 } = pod.metadata;
    if (run !== undefined) {
      await this.#stop(run, deletionGracePeriodSeconds * MS_PER_SECOND);
      if (run.end !== undefined && run.podIp !== undefined) this.#writePresent(run);
      await run.writes;
    }
    if (this.#isClosed || this.#lostNodes.has(stringAt(pod, 'spec', 'nodeName') ?? '')) return;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0, preconditions: { uid } };
    await this.#client.call('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}`, { body }, [404, 409]);
  }

  async #stop(run: Run, graceMs: number): Promise<void> {
    run.isStopping = true;
    run.retry?.cancel();
    const end = await run.running?.stop(graceMs);
    run.end ??= end;
    run.isReady = false;
  }

  /** After what is being written already (L2). */
  #write(run: Run, status: JsonObject): void {
    const { name, namespace, uid } = run.pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
    run.writes = run.writes
      .then(async () => {
        if (this.#lostNodes.has(run.node) || this.#isClosed) return;
        await this.#client.call('PATCH', path, { ...MERGE, body: { metadata: { uid }, status } }, [404, 409]);
      })
      .catch(this.#report);
  }

  #statusOf(run: Run, phase: string, state: JsonObject, more: readonly JsonObject[] = [], lastState: JsonObject = {}): JsonObject {
    const { containers } = run;
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

  #terminated(run: Run, { exitCode, reason }: PodEnd): JsonObject {
    return { exitCode, reason, startedAt: run.runningSince ?? run.startedAt, finishedAt: this.#now() };
  }

  #condition(type: string, isTrue: boolean, reason?: string, message?: string): JsonObject {
    const base = { type, status: isTrue ? 'True' : 'False', lastProbeTime: null, lastTransitionTime: this.#now() };
    return { ...base, ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) };
  }

  #now(): string {
    return timestamp(this.#clock.wallMs());
  }
}
