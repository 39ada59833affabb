// A namespace of its own on whatever cluster the tests were given, and who plays the parts of it that are not there.
//
// Everything is done over the API. What the cluster may lack is not needed: nodes, a scheduler and kubelets are played with
// `--kubelet=simulated`; a `default` service account is made where nobody makes one; what the garbage collector would take
// and a namespace that nobody finalizes are taken away at the end.
import { SystemRandom } from '@muster/ports';
import {
  ApiClient,
  eventually,
  type KubernetesAccess,
  type KubernetesDouble,
  makeKubeconfig,
  type SimulatedCluster,
  type SimulatedClusterOptions,
  startKubernetesDouble,
  startSimulatedCluster,
} from '@muster/testkit';
import { readAccess } from './access.ts';
import { readKubernetesTestConfig } from './config.ts';

const NAMESPACES = '/api/v1/namespaces';
/** So long a namespace has to go by itself, before it is finalized here. */
const FINALIZE_AFTER_MS = 3000;
const GONE_TIMEOUT_MS = 60_000;
const ACCOUNT_TIMEOUT_MS = 30_000;
const TOKEN_SECONDS = 3600;
/** Learned from the first namespace: nobody else finalizes them here. */
let isFinalizedHere = false;
/** Everything that tests make. Pods last: others are owned by them. */
const EMPTIED = [
  '/api/v1/namespaces/{}/secrets',
  '/apis/coordination.k8s.io/v1/namespaces/{}/leases',
  '/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings',
  '/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles',
  '/api/v1/namespaces/{}/serviceaccounts',
  '/api/v1/namespaces/{}/resourcequotas',
  '/api/v1/namespaces/{}/pods',
];

export interface TestCluster extends AsyncDisposable {
  /** May do everything. */
  readonly access: KubernetesAccess;
  readonly api: ApiClient;
  readonly namespace: string;
  /** `/api/v1/namespaces/<namespace>` */
  readonly path: string;
  /** Undefined on a real API server. */
  readonly double: KubernetesDouble | undefined;
  /** An image that runs until it is stopped. */
  readonly image: string;
  /**
   * Somebody has to run pods: with a simulated kubelet, this does, as `options` say; on a cluster with nodes it does nothing,
   * and gives undefined: what is to befall pods there cannot be said. Ends with the cluster.
   */
  runPods(options?: SimulatedClusterOptions): Promise<SimulatedCluster | undefined>;
  /** A token of a service account of this namespace. */
  issueToken(account: string): Promise<string>;
  /** The text of a kubeconfig for this token and namespace, and nothing else that the access has. */
  kubeconfigFor(token: string, change?: Partial<KubernetesAccess>): string;
}

/** A fresh namespace, on the API server of `neighbour` where it is given; gone, with all that is in it, when its scope ends. */
export async function openTestCluster(neighbour?: TestCluster): Promise<TestCluster> {
  const { kubeconfig, context, kubelet, image } = readKubernetesTestConfig();
  await using resources = new AsyncDisposableStack();
  // As bare as a real API server alone: whatever passes on it needs nobody else. Its administrator comes with a certificate.
  const bare = { hasControllers: false, hasServiceAccounts: true, tls: true };
  const double = kubeconfig === undefined ? (neighbour?.double ?? resources.use(await startKubernetesDouble(bare))) : undefined;
  const access = double?.accessByCertificate() ?? (await readAccess(kubeconfig ?? '', context));
  const api = new ApiClient(access);
  resources.defer(() => api.close());
  const namespace = `muster-test-${new SystemRandom().id(8)}`;
  await api.call('POST', NAMESPACES, { body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } } });
  resources.defer(() => removeNamespace(api, namespace, double !== undefined || isFinalizedHere));
  await ensureAccount(api, namespace);
  const path = `${NAMESPACES}/${namespace}`;
  const scope = resources.move();
  return {
    access,
    api,
    namespace,
    path,
    double,
    image,
    runPods: async (options = {}) =>
      kubelet === 'real' ? undefined : scope.use(await startSimulatedCluster(access, { namespace, ...options })),
    issueToken: async (account) => {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: TOKEN_SECONDS } };
      const made = await api.call('POST', `${path}/serviceaccounts/${account}/token`, { body });
      return (made as { readonly status: { readonly token: string } }).status.token;
    },
    kubeconfigFor: (token, change = {}) => {
      const { cert: _cert, key: _key, ...server } = access;
      return makeKubeconfig({ ...server, token, ...change }, namespace);
    },
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

/** Where a controller makes it, its is waited for; where none does, this is it. */
async function ensureAccount(api: ApiClient, namespace: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
  await eventually(() => api.call('POST', `${NAMESPACES}/${namespace}/serviceaccounts`, { body }, [409]).then(() => true), {
    timeoutMs: ACCOUNT_TIMEOUT_MS,
  });
}

async function removeNamespace(api: ApiClient, namespace: string, isFinalized: boolean): Promise<void> {
  const path = `${NAMESPACES}/${namespace}`;
  const now = { body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 } };
  for (const collection of EMPTIED) await api.call('DELETE', collection.replace('{}', namespace), now, [404, 405]);
  await api.call('DELETE', path, {}, [404, 409]);
  const isGone = async (): Promise<boolean> => (await api.request('GET', path)).status === 404;
  try {
    await eventually(isGone, { timeoutMs: isFinalized ? 0 : FINALIZE_AFTER_MS, everyMs: 100 });
  } catch {
    isFinalizedHere = true;
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace }, spec: { finalizers: [] } };
    await api.call('PUT', `${path}/finalize`, { body }, [404, 409]);
    await eventually(isGone, { timeoutMs: GONE_TIMEOUT_MS, everyMs: 100 });
  }
}
