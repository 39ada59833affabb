import { MusterError } from '../errors.ts';

/** How a process proves to NATS who it is; without, it does not. */
export type NatsCredentials =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'user'; readonly user: string; readonly password: string }
  /** The contents of a file of credentials: one of `muster nats-config`, or a `.creds` or seed file of NATS's own tools. */
  | { readonly kind: 'creds'; readonly contents: string }
  /** Such a file; read again on every connect, so that a rotated one is taken up. */
  | { readonly kind: 'file'; readonly path: string };

/** Files in PEM: the authority that the server is trusted by, and this process's own certificate where the server wants one. */
export interface NatsTls {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** Who this process is to NATS, and how its link is protected. */
export interface NatsAccess {
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
  /** Where its answers come. Default: what the file of credentials says, else `_INBOX`. */
  readonly inboxPrefix?: string;
}

/** In this order. */
const NATS_ACCESS_VARIABLES = [
  'MUSTER_NATS_CREDS',
  'MUSTER_NATS_CREDS_FILE',
  'MUSTER_NATS_CA_FILE',
  'MUSTER_NATS_CERT_FILE',
  'MUSTER_NATS_KEY_FILE',
  'MUSTER_NATS_INBOX_PREFIX',
] as const;

/**
 * What the environment of any of Muster's programs says of its access to NATS; an empty variable counts as none. `file` is
 * what the configuration says, for what the environment does not.
 * @throws MusterError `bad-request` for a certificate without its key
 */
export function natsAccessOf(environment: Readonly<Record<string, string | undefined>>, file: NatsTls = {}): NatsAccess {
  const [contents, path, caFile, certFile, keyFile, inboxPrefix] = NATS_ACCESS_VARIABLES.map((name) => environment[name] || undefined);
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const field = certFile === undefined ? 'MUSTER_NATS_CERT_FILE' : 'MUSTER_NATS_KEY_FILE';
    throw new MusterError('bad-request', `${field}: a certificate and its key belong together`, { field });
  }
  const credentials: NatsCredentials | undefined =
    contents !== undefined ? { kind: 'creds', contents } : path !== undefined ? { kind: 'file', path } : undefined;
  const tls: NatsTls = {
    ...file,
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined || keyFile === undefined ? {} : { certFile, keyFile }),
  };
  return {
    ...(credentials === undefined ? {} : { credentials }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
  };
}

/** The same files, as `resolve` finds them. */
export function natsTlsFrom(tls: NatsTls, resolve: (path: string) => string): NatsTls {
  return Object.fromEntries(Object.entries(tls).map(([name, path]) => [name, resolve(path)]));
}
