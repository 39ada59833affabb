import type { KubernetesInspection } from '@muster/kubernetes';
import type { Finding } from './finding.ts';

/** Of what a quota allows, this share used is said before it is all. */
const NEARLY = 0.9;

/** A Kubernetes API, judged for pools of pods. */
export function examineKubernetes(seen: KubernetesInspection): readonly Finding[] {
  const finding = (check: string, level: Finding['level'], says: string, mend?: string): Finding => ({
    area: 'kubernetes',
    check,
    level,
    says,
    ...(mend === undefined ? {} : { mend }),
  });
  switch (seen.kind) {
    case 'unconfigured':
      return [
        finding('connection', 'problem', seen.why, 'name a kubeconfig and a context in kubernetes, or run in a pod with a service account'),
      ];
    case 'unauthenticated':
      return [
        finding(
          'connection',
          'problem',
          `the API server does not know who asks: ${seen.why}`,
          'renew the token or certificate of the kubeconfig',
        ),
      ];
    case 'unreachable':
      return [
        finding(
          'connection',
          'problem',
          `the API server does not answer: ${seen.why}`,
          'is its address in the kubeconfig right, and reached from here?',
        ),
      ];
    case 'seen':
      break;
  }
  const { namespace, version, hasNamespace, missing, quotas } = seen;
  const where = `namespace ${namespace}`;
  return [
    finding(
      'version',
      version === undefined ? 'unknown' : 'ok',
      version === undefined ? 'the server does not tell its version' : `Kubernetes ${version}`,
    ),
    ...(hasNamespace === false
      ? [finding('namespace', 'problem', `there is no ${where}`, `kubectl create namespace ${namespace}, or set kubernetes.namespace`)]
      : []),
    missing.length === 0
      ? finding('rights', 'ok', `may start, watch and remove pods in ${where}`)
      : finding(
          'rights',
          'problem',
          `may not ${missing.join(', ')} in ${where}`,
          'bind the role of deploy/kubernetes/rbac.yaml to the replicas there',
        ),
    ...(quotas === undefined
      ? [finding('quota', 'unknown', `whether ${where} has quotas may not be seen`, 'look as an administrator: kubectl get resourcequota')]
      : quotas
          .filter(({ share }) => share >= NEARLY)
          .map(({ quota, resource, hard, used }) =>
            finding(
              'quota',
              'warning',
              `quota ${quota}: ${used} of ${hard} ${resource} used`,
              'raise it: beyond it pods are refused, and requests wait',
            ),
          )),
  ];
}
