import { KubeConfig } from '@kubernetes/client-node';
import type { KubernetesAccess } from '@muster/testkit';

/** What a kubeconfig's context says, with whatever its user needs to be asked for. @throws Error where it names no server */
export async function readAccess(file: string, context: string | undefined): Promise<KubernetesAccess> {
  const config = new KubeConfig();
  config.loadFromFile(file);
  if (context !== undefined) config.setCurrentContext(context);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error(`${file} has no cluster for context ${config.getCurrentContext()}`);
  // The library refuses what is not encrypted unless told that nobody wants it verified: there is nothing to verify.
  if (server.startsWith('http:')) config.clusters = config.clusters.map((cluster) => ({ ...cluster, skipTLSVerify: true }));
  const options: Parameters<KubeConfig['applyToHTTPSOptions']>[0] = { headers: {} };
  await config.applyToHTTPSOptions(options);
  const headers = options.headers as Readonly<Record<string, string>>;
  const token = /^Bearer (.+)$/.exec(headers['Authorization'] ?? '')?.[1];
  const fields = {
    ca: pem(options.ca),
    cert: pem(options.cert),
    key: pem(options.key),
    token,
    serverName: options.servername,
    isUnverified: options.rejectUnauthorized === false ? true : undefined,
  };
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  return { server: server.replace(/\/$/, ''), ...given };
}

function pem(value: unknown): string | undefined {
  return typeof value === 'string' || Buffer.isBuffer(value) ? value.toString() : undefined;
}
