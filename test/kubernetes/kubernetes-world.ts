// What the driver's tests run on: a namespace of their own, the shipped role and nothing more, and the way in for a driver.
// Everything is done over the API, so that it works on the double and on a real API server.
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubernetesDriver, type KubernetesDriverOptions, type KubernetesTimings } from '@muster/kubernetes';
import { MemoryMetrics, SystemClock, SystemRandom, silentLogger, type WorkerSpec, type WorkerStatus } from '@muster/ports';
import {
  ApiClient,
  type KubernetesAccess,
  type KubernetesDouble,
  type KubernetesObject,
  makeKubeconfig,
  type SimulatedCluster,
  type SimulatedClusterOptions,
  startKubernetesDouble,
  startSimulatedCluster,
  type TempDir,
  tempDir,
} from '@muster/testkit';
import { parseAllDocuments } from 'yaml';

const RBAC = new URL('../../deploy/kubernetes/rbac.yaml', import.meta.url);
/** Short, so that the tests are; what they mean is the same. */
const QUICK: Partial<KubernetesTimings> = { backoffMinMs: 20, backoffMaxMs: 200, goneCheckMs: 500, patienceMs: 300, secretsEveryMs: 0 };

export class KubernetesWorld implements AsyncDisposable {
  readonly access: KubernetesAccess;
  /** Undefined on a real API server. */
  readonly double: KubernetesDouble | undefined;
  readonly namespace: string;
  readonly kubeconfig: string;
  readonly api: ApiClient;
  readonly #folder: TempDir;
  readonly #closing: (() => Promise<unknown>)[] = [];

  constructor(options: {
    readonly access: KubernetesAccess;
    readonly double: KubernetesDouble | undefined;
    readonly namespace: string;
    readonly kubeconfig: string;
    readonly folder: TempDir;
    readonly api: ApiClient;
  }) {
    this.access = options.access;
    this.double = options.double;
    this.namespace = options.namespace;
    this.kubeconfig = options.kubeconfig;
    this.api = options.api;
    this.#folder = options.folder;
  }

  /** A driver with the shipped role; ends with the world. */
  driver(options: Partial<KubernetesDriverOptions> = {}): KubernetesDriver {
    const driver = new KubernetesDriver({
      cluster: 'demo',
      connection: { kubeconfig: this.kubeconfig, namespace: this.namespace },
      natsUrl: 'nats://127.0.0.1:4222',
      clock: new SystemClock(),
      random: new SystemRandom(),
      logger: silentLogger,
      metrics: new MemoryMetrics(),
      ...options,
      timings: { ...QUICK, ...options.timings },
    });
    this.#closing.push(() => driver.close());
    return driver;
  }

  /** A scheduler, nodes and a kubelet for the namespace; ends with the world. */
  async simulate(options: SimulatedClusterOptions = {}): Promise<SimulatedCluster> {
    const cluster = await startSimulatedCluster(this.access, { namespace: this.namespace, ...options });
    this.#closing.push(() => cluster[Symbol.asyncDispose]());
    return cluster;
  }

  /** What is there now, as the administrator sees it. */
  async objects(plural: 'pods' | 'secrets'): Promise<readonly KubernetesObject[]> {
    const list = (await this.api.call('GET', `${this.path}/${plural}`)) as { readonly items: readonly KubernetesObject[] };
    return list.items;
  }
  async names(plural: 'pods' | 'secrets'): Promise<readonly string[]> {
    return (await this.objects(plural)).map(({ metadata }) => metadata.name);
  }
  async pod(name: string): Promise<KubernetesObject> {
    return (await this.api.call('GET', `${this.path}/pods/${name}`)) as KubernetesObject;
  }
  get path(): string {
    return `/api/v1/namespaces/${this.namespace}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
    if (this.double === undefined) await this.#cleanUp();
    this.api.close();
    await this.double?.[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  /** Where nobody collects garbage, a namespace that is deleted keeps what is in it. */
  async #cleanUp(): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 };
    for (const plural of ['pods', 'secrets']) await this.api.call('DELETE', `${this.path}/${plural}`, { body }, [404]);
    await this.api.call('DELETE', this.path, {}, [404, 409]);
  }
}

/** The world of one test. */
export async function startKubernetesWorld(options: { readonly access?: KubernetesAccess } = {}): Promise<KubernetesWorld> {
  const double = options.access === undefined ? await startKubernetesDouble() : undefined;
  const access = options.access ?? (double as KubernetesDouble).access();
  const folder = await tempDir();
  const api = new ApiClient(access);
  const namespace = `muster-test-${new SystemRandom().id(8)}`;
  const token = await grant(api, namespace);
  const kubeconfig = join(folder.path, 'kubeconfig');
  const { cert: _cert, key: _key, ...server } = access;
  await writeFile(kubeconfig, makeKubeconfig({ ...server, token }, namespace), { mode: 0o600 });
  return new KubernetesWorld({ access, double, namespace, kubeconfig, folder, api });
}

/** Makes the namespace, and in it what `rbac.yaml` has; a token of its service account. */
async function grant(api: ApiClient, namespace: string): Promise<string> {
  await api.call('POST', '/api/v1/namespaces', { body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } } });
  let account = '';
  for (const document of parseAllDocuments(readFileSync(RBAC, 'utf8'))) {
    const written = document.toJS() as RbacDocument;
    const body = { ...written, metadata: { ...written.metadata, namespace } };
    if (body.subjects !== undefined) body.subjects = body.subjects.map((subject) => ({ ...subject, namespace }));
    if (body.kind === 'ServiceAccount') account = body.metadata.name;
    const plural = `${body.kind.toLowerCase()}s`;
    const group = body.apiVersion === 'v1' ? '/api/v1' : `/apis/${body.apiVersion}`;
    await api.call('POST', `${group}/namespaces/${namespace}/${plural}`, { body });
  }
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3_600 } };
  const made = await api.call('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`, { body: request });
  return (made as { readonly status: { readonly token: string } }).status.token;
}

interface RbacDocument {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  subjects?: readonly Readonly<Record<string, unknown>>[];
}

const TEMPLATE = { spec: { containers: [{ name: 'worker', image: 'registry.example/worker:1', ports: [{ containerPort: 8080 }] }] } };

/** A worker to start. */
export function makeWorker(slot: string, change: Partial<WorkerSpec> = {}): WorkerSpec {
  const template = { env: {}, memoryBytes: 1, podTemplate: TEMPLATE };
  return { slot, shard: 'duckdb', pool: 'duckdb', template, placement: {}, token: `token of ${slot}`, ...change };
}

/** The last that a driver's watch said of each slot, and all of it in order. */
export function listenTo(driver: KubernetesDriver): { readonly last: Map<string, WorkerStatus>; readonly all: WorkerStatus[] } {
  const last = new Map<string, WorkerStatus>();
  const all: WorkerStatus[] = [];
  driver.watch((status) => {
    all.push(status);
    last.set(status.slot, status);
  });
  return { last, all };
}
