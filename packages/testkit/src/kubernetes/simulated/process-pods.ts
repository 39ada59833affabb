// Pods whose containers are processes of this machine: the command of each, its environment, an address of this machine.
//
//   R1. No process outlives its pod, nor any the runtime; nor, where it is ended in order, this process.
//   R2. A pod is asked to end (SIGTERM) and has its grace period, then it is ended (SIGKILL).
//   R3. A container without a command does not start: an image is not looked at.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { type Clock, SystemClock } from '@muster/ports';
import type { KubernetesAccess } from '../access.ts';
import { isObject, type JsonObject, type KubernetesObject, listAt, objectAt, stringAt } from '../object.ts';
import { ApiClient } from './api-client.ts';
import { environmentOf, expand } from './pod-environment.ts';
import type { PodChange, PodEnd, PodRuntime, RunningPod } from './pod-runtime.ts';

export interface ProcessPodsOptions {
  /** To read Secrets and ConfigMaps with. */
  readonly access: KubernetesAccess;
  readonly clock?: Clock;
  /** Where commands run that name no folder. Default: that of this process. */
  readonly cwd?: string;
  /** Given to every container, besides PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** A file for each container, `<pod>-<container>.log`. Default: what they print is lost. */
  readonly logFolder?: string;
  /** The pod's address. Default: on Linux one of 127.1.0.0/16 each, elsewhere 127.0.0.1 for all. */
  readonly addressOf?: (pod: KubernetesObject) => string;
}

const HOST_IP = '127.0.0.1';
const PROBE_TIMEOUT_MS = 1000;

/** Runs pods as local processes, for `startSimulatedCluster`. */
export class ProcessPods implements PodRuntime {
  readonly #options: ProcessPodsOptions;
  readonly #clock: Clock;
  readonly #client: ApiClient;
  readonly #pods = new Set<ProcessPod>();
  readonly #killAll = (): void => {
    for (const pod of this.#pods) pod.kill();
  };
  #addresses = 0;

  constructor(options: ProcessPodsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? new SystemClock();
    this.#client = new ApiClient(options.access);
    process.on('exit', this.#killAll);
  }

  start(pod: KubernetesObject, tell: (change: PodChange) => void): RunningPod {
    const podIp = (this.#options.addressOf ?? (() => this.#nextAddress()))(pod);
    const running = new ProcessPod({ pod, podIp, tell, clock: this.#clock, client: this.#client, options: this.#options });
    this.#pods.add(running);
    void running.ended.then(() => this.#pods.delete(running));
    return running;
  }

  async close(): Promise<void> {
    process.off('exit', this.#killAll);
    await Promise.all([...this.#pods].map((pod) => pod.stop(0)));
    this.#client.close();
  }

  #nextAddress(): string {
    if (process.platform !== 'linux') return HOST_IP;
    this.#addresses += 1;
    return `127.1.${(this.#addresses >> 8) & 255}.${this.#addresses & 255}`;
  }
}

interface ProcessPodParts {
  readonly pod: KubernetesObject;
  readonly podIp: string;
  readonly tell: (change: PodChange) => void;
  readonly clock: Clock;
  readonly client: ApiClient;
  readonly options: ProcessPodsOptions;
}

class ProcessPod implements RunningPod {
  /** Resolves when nothing of it runs any more. */
  readonly ended: Promise<PodEnd>;
  readonly #parts: ProcessPodParts;
  readonly #processes = new Map<string, ChildProcess>();
  readonly #ends: PodEnd[] = [];
  readonly #finish: (end: PodEnd) => void;
  #isStopping = false;
  #isOver = false;
  #isReady = false;

  constructor(parts: ProcessPodParts) {
    this.#parts = parts;
    const { promise, resolve } = Promise.withResolvers<PodEnd>();
    this.ended = promise;
    this.#finish = (end) => {
      if (this.#isOver) return;
      this.#isOver = true;
      resolve(end);
    };
    this.#start().catch((error: unknown) => {
      // It reads as a container that could not be made.
      this.#say({ kind: 'waiting', reason: 'CreateContainerError', message: error instanceof Error ? error.message : String(error) });
      this.kill();
      if (this.#processes.size === 0) this.#finish({ exitCode: 128, reason: 'StartError' });
    });
  }

  async stop(graceMs: number): Promise<PodEnd> {
    this.#isStopping = true;
    if (this.#processes.size === 0) this.#finish({ exitCode: 0, reason: 'Completed' });
    for (const child of this.#processes.values()) child.kill('SIGTERM');
    const timer = this.#parts.clock.setTimer(graceMs, () => this.kill());
    const end = await this.ended;
    timer.cancel();
    return end;
  }

  befall(change: PodChange): void {
    this.#say(change);
    if (change.kind !== 'ended' && change.kind !== 'evicted') return;
    this.#isStopping = true;
    this.kill();
  }

  kill(): void {
    for (const child of this.#processes.values()) child.kill('SIGKILL');
  }

  async #start(): Promise<void> {
    const { pod, podIp } = this.#parts;
    const containers = listAt(pod, 'spec', 'containers').map((one) => objectAt(one));
    const missing = containers.find((container) => listAt(container, 'command').length === 0);
    if (missing !== undefined) throw new Error(`container ${String(missing['name'])} has no command: an image cannot be run here`);
    for (const container of containers) {
      await this.#spawn(container);
      if (this.#isStopping) {
        this.kill();
        if (this.#processes.size === 0) this.#finish({ exitCode: 0, reason: 'Completed' });
        return;
      }
    }
    this.#say({ kind: 'running', podIp });
    this.#watchReadiness(containers);
  }

  async #spawn(container: JsonObject): Promise<void> {
    const { pod, podIp, client, options } = this.#parts;
    const name = String(container['name']);
    const own = await environmentOf(client, pod, container, { podIp, hostIp: HOST_IP });
    const [program = '', ...rest] = [...listAt(container, 'command'), ...listAt(container, 'args')].map((one) => expand(String(one), own));
    const { PATH = '', HOME = '' } = process.env;
    const child = spawn(program, rest, {
      cwd: stringAt(container, 'workingDir') ?? options.cwd,
      env: { PATH, HOME, ...options.env, ...own, HOSTNAME: pod.metadata.name },
      stdio: ['ignore', options.logFolder === undefined ? 'ignore' : 'pipe', options.logFolder === undefined ? 'ignore' : 'pipe'],
    });
    if (options.logFolder !== undefined) {
      const log = createWriteStream(join(options.logFolder, `${pod.metadata.name}-${name}.log`), { flags: 'a' });
      child.stdout?.pipe(log, { end: false });
      child.stderr?.pipe(log, { end: false });
      child.once('close', () => log.end());
    }
    await once(child, 'spawn');
    this.#processes.set(name, child);
    child.once('exit', (code, signal) => this.#exited(name, code, signal));
  }

  #exited(name: string, code: number | null, signal: NodeJS.Signals | null): void {
    this.#processes.delete(name);
    const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
    this.#ends.push({ exitCode, reason: exitCode === 0 ? 'Completed' : 'Error' });
    if (this.#processes.size > 0) return;
    const end = this.#ends.find((one) => one.exitCode !== 0) ?? { exitCode: 0, reason: 'Completed' };
    this.#say({ kind: 'ended', ...end });
    this.#finish(end);
  }

  #say(change: PodChange): void {
    if (!this.#isStopping && !this.#isOver) this.#parts.tell(change);
  }

  /** Looks as the readiness probes say; without any, what runs is ready. */
  #watchReadiness(containers: readonly JsonObject[]): void {
    const probes = containers.map((container) => container['readinessProbe']).filter(isObject);
    if (probes.length === 0) {
      this.#say({ kind: 'ready' });
      return;
    }
    const everyMs = Math.min(...probes.map((probe) => Number(probe['periodSeconds'] ?? 10) * 1000));
    const look = async (): Promise<void> => {
      const answers = await Promise.all(probes.map((probe) => isProbeHappy(probe, this.#parts.podIp, containers)));
      const isReady = answers.every((one) => one);
      if (isReady !== this.#isReady) {
        this.#isReady = isReady;
        this.#say({ kind: isReady ? 'ready' : 'not-ready' });
      }
      if (!this.#isStopping && !this.#isOver) this.#parts.clock.setTimer(everyMs, () => void look());
    };
    void look();
  }
}

/** One look of a probe: over HTTP, or whether a port can be reached. Other kinds count as happy. */
async function isProbeHappy(probe: JsonObject, podIp: string, containers: readonly JsonObject[]): Promise<boolean> {
  const action = objectAt(probe, 'httpGet' in probe ? 'httpGet' : 'tcpSocket');
  const host = stringAt(action, 'host') ?? podIp;
  const port = portOf(action['port'], containers);
  if ('httpGet' in probe) {
    return new Promise((resolve) => {
      const asked = request({ host, port, path: stringAt(action, 'path') ?? '/', timeout: PROBE_TIMEOUT_MS }, (response) => {
        response.resume();
        resolve((response.statusCode ?? 500) >= 200 && (response.statusCode ?? 500) < 400);
      });
      asked.on('timeout', () => asked.destroy()).on('error', () => resolve(false));
      asked.end();
    });
  }
  if (!('tcpSocket' in probe)) return true;
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PROBE_TIMEOUT_MS });
    const done = (isHappy: boolean): void => {
      socket.destroy();
      resolve(isHappy);
    };
    socket
      .once('connect', () => done(true))
      .once('timeout', () => done(false))
      .once('error', () => done(false));
  });
}

/** A port by its number, or by the name that a container gives it. */
function portOf(port: unknown, containers: readonly JsonObject[]): number {
  if (typeof port === 'number') return port;
  const named = containers.flatMap((container) => listAt(container, 'ports')).find((one) => objectAt(one)['name'] === port);
  return Number(objectAt(named)['containerPort'] ?? port);
}
