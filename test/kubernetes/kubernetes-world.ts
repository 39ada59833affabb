// What the driver's tests run on: a namespace of their own, the shipped role and nothing more, and the way in for a driver.
// Everything is done over the API, so that it works on the double and on a real API server.
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KubernetesDriver, type KubernetesDriverOptions, type KubernetesTimings } from '@muster/kubernetes';
import { MemoryMetrics, SystemClock, SystemRandom, silentLogger, type WorkerSpec, type WorkerStatus } from '@muster/ports';
import { type ApiClient, eventually, type KubernetesAccess, type KubernetesDouble, type KubernetesObject, tempDir } from '@muster/testkit';
import { parseAllDocuments } from 'yaml';
import { readKubernetesTestConfig } from './config.ts';
import { openTestCluster, type TestCluster } from './test-cluster.ts';

const RBAC = new URL('../../deploy/kubernetes/rbac.yaml', import.meta.url);
/** Short, so that the tests are; what they mean is the same. */
const QUICK: Partial<KubernetesTimings> = { backoffMinMs: 20, backoffMaxMs: 200, goneCheckMs: 500, patienceMs: 300, secretsEveryMs: 0 };

/** A test's own namespace with the shipped role in it. */
export class KubernetesWorld implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly kubeconfig: string;
  readonly #token: string;
  readonly #resources: AsyncDisposableStack;

  constructor(cluster: TestCluster, kubeconfig: string, token: string, resources: AsyncDisposableStack) {
    this.cluster = cluster;
    this.kubeconfig = kubeconfig;
    this.#token = token;
    this.#resources = resources;
  }

  get double(): KubernetesDouble | undefined {
    return this.cluster.double;
  }
  get api(): ApiClient {
    return this.cluster.api;
  }
  get namespace(): string {
    return this.cluster.namespace;
  }
  get path(): string {
    return this.cluster.path;
  }

  /** The text of a kubeconfig with the shipped role, on another way to the server. */
  kubeconfigFor(change: Partial<KubernetesAccess>): string {
    return this.cluster.kubeconfigFor(this.#token, change);
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
    this.#resources.defer(() => driver.close());
    return driver;
  }

  /** What is there now, as the administrator sees it. */
  async objects(plural: 'pods' | 'secrets'): Promise<readonly KubernetesObject[]> {
    // Where a controller runs there is more in a namespace than what the tests made.
    const selector = plural === 'pods' ? '' : '?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dmuster';
    const list = (await this.api.call('GET', `${this.path}/${plural}${selector}`)) as { readonly items: readonly KubernetesObject[] };
    return list.items;
  }
  async names(plural: 'pods' | 'secrets'): Promise<readonly string[]> {
    return (await this.objects(plural)).map(({ metadata }) => metadata.name);
  }
  async pod(name: string): Promise<KubernetesObject> {
    return (await this.api.call('GET', `${this.path}/pods/${name}`)) as KubernetesObject;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** The world of one test. */
export async function startKubernetesWorld(): Promise<KubernetesWorld> {
  await using resources = new AsyncDisposableStack();
  const cluster = resources.use(await openTestCluster());
  const folder = resources.use(await tempDir());
  const token = await grant(cluster);
  const kubeconfig = join(folder.path, 'kubeconfig');
  await writeFile(kubeconfig, cluster.kubeconfigFor(token), { mode: 0o600 });
  return new KubernetesWorld(cluster, kubeconfig, token, resources.move());
}

/** Makes in the namespace what `rbac.yaml` has. @returns a token of its service account */
async function grant(cluster: TestCluster): Promise<string> {
  const { api, namespace, path } = cluster;
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
  const token = await cluster.issueToken(account);
  // A real server's authorizer hears of the binding a moment later.
  await eventually(async () => (await api.request('GET', `${path}/pods`, { token })).status === 200);
  return token;
}

interface RbacDocument {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  subjects?: readonly Readonly<Record<string, unknown>>[];
}

/** A worker to start. */
export function makeWorker(slot: string, change: Partial<WorkerSpec> = {}): WorkerSpec {
  const { image } = readKubernetesTestConfig();
  const podTemplate = { spec: { containers: [{ name: 'worker', image, ports: [{ containerPort: 8080 }] }] } };
  const template = { env: {}, memoryBytes: 1, podTemplate };
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
