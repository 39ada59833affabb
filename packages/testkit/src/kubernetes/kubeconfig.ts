import type { KubernetesAccess } from './access.ts';

/** A kubeconfig with one context, as text: JSON, which is YAML too. */
export function makeKubeconfig(access: KubernetesAccess, namespace = 'default'): string {
  const cluster = {
    server: access.server,
    ...(access.ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(access.ca).toString('base64') }),
  };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'double', cluster }],
    users: [{ name: 'user', user: access.token === undefined ? {} : { token: access.token } }],
    contexts: [{ name: 'double', context: { cluster: 'double', user: 'user', namespace } }],
    'current-context': 'double',
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
