// Which cluster the tests of this folder run on. `npm run test:kubernetes` says so; otherwise it is the double.

export interface KubernetesTestConfig {
  /** `MUSTER_TEST_KUBECONFIG`: a file. Undefined: the double. Never KUBECONFIG itself: nobody's cluster is used by accident. */
  readonly kubeconfig: string | undefined;
  /** `MUSTER_TEST_KUBE_CONTEXT`. Undefined: the file's current one. */
  readonly context: string | undefined;
  /** `MUSTER_TEST_KUBELET`: who runs pods. `simulated`: the suite binds them and writes their status. */
  readonly kubelet: 'simulated' | 'real';
  /** `MUSTER_TEST_KUBE_IMAGE`: an image that runs until it is stopped, for clusters with nodes. */
  readonly image: string;
  /** `MUSTER_TEST_KUBE_LONG`: nodes take 30 s to come, and outages last two minutes. */
  readonly isLong: boolean;
}

const IMAGE = 'registry.k8s.io/pause:3.10';

/** @throws Error where a variable makes no sense */
export function readKubernetesTestConfig(env: Readonly<Record<string, string | undefined>> = process.env): KubernetesTestConfig {
  const kubeconfig = env['MUSTER_TEST_KUBECONFIG'] || undefined;
  const kubelet = env['MUSTER_TEST_KUBELET'] || (kubeconfig === undefined ? 'simulated' : 'real');
  if (kubelet !== 'simulated' && kubelet !== 'real') throw new Error(`MUSTER_TEST_KUBELET is ${kubelet}, not simulated or real`);
  if (kubelet === 'real' && kubeconfig === undefined) throw new Error('the double has no kubelet: --kubelet=real needs KUBECONFIG');
  return {
    kubeconfig,
    context: env['MUSTER_TEST_KUBE_CONTEXT'] || undefined,
    kubelet,
    image: env['MUSTER_TEST_KUBE_IMAGE'] || IMAGE,
    isLong: env['MUSTER_TEST_KUBE_LONG'] === 'true',
  };
}
