import type { KubernetesAccess } from './access.ts';

/** A kubeconfig with one context, as text: JSON, which is YAML too. */
export function makeKubeconfig(access: KubernetesAccess, namespace = 'default'): string {
  const cluster = {
    server: access.server,
    ...(access.ca === undefined ? {} : { 'certificate-authority-data': base64(access.ca) }),
    ...(access.serverName === undefined ? {} : { 'tls-server-name': access.serverName }),
    ...(access.isUnverified === true ? { 'insecure-skip-tls-verify': true } : {}),
  };
  const user = {
    ...(access.token === undefined ? {} : { token: access.token }),
    ...(access.cert === undefined ? {} : { 'client-certificate-data': base64(access.cert) }),
    ...(access.key === undefined ? {} : { 'client-key-data': base64(access.key) }),
  };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'cluster', cluster }],
    users: [{ name: 'user', user }],
    contexts: [{ name: 'cluster', context: { cluster: 'cluster', user: 'user', namespace } }],
    'current-context': 'cluster',
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
