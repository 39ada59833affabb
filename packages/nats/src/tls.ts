// What protects a link, and in whose words it is said when that fails.
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { NatsTls } from '@muster/protocol';
import type { NodeConnectionOptions } from '@nats-io/transport-node';

/**
 * The client gives Node no name for a server that is named by its address, and Node then looks for `localhost` in the
 * certificate: what it has to be for is one of the addresses that were given.
 */
export function toTlsSettings(tls: NatsTls, addresses: readonly { readonly host: string }[]): NonNullable<NodeConnectionOptions['tls']> {
  const hosts = addresses.map(({ host }) => host).filter((host) => isIP(host) !== 0 || host === 'localhost');
  const identify = (name: string, certificate: PeerCertificate): Error | undefined => {
    const found = (name === 'localhost' ? hosts : [name]).map((host) => checkServerIdentity(host, certificate));
    return found.includes(undefined) ? undefined : (found[0] ?? checkServerIdentity(name, certificate));
  };
  return { ...tls, checkServerIdentity: identify } as NonNullable<NodeConnectionOptions['tls']>;
}

const NOT_TRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
]);

/** Which setting of `nats.tls` a failed dial has to do with, and what it means; undefined where it is not about TLS. */
export function tlsProblemOf(error: unknown, tls: NatsTls | undefined): { readonly field: string; readonly says: string } | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error ? String(error.code) : '';
  if (NOT_TRUSTED.has(code)) {
    const by = tls?.caFile === undefined ? 'an authority that this system trusts, and nats.tls.ca names no other' : `that of ${tls.caFile}`;
    return { field: 'nats.tls.ca', says: `its certificate is not signed by ${by}` };
  }
  if (code === 'CERT_HAS_EXPIRED') return { field: 'nats.tls.ca', says: 'its certificate, or that of its authority, has expired' };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return { field: 'nats.servers', says: error.message };
  if (/support 'tls'|not available on this server/.test(error.message)) {
    return { field: 'nats.tls', says: 'it does not speak TLS, which nats.tls or a tls:// address wants' };
  }
  if (tls === undefined) return undefined;
  if (/doesn't exist$|ENOENT|EACCES|PEM|asn1|key values mismatch/i.test(error.message)) return { field: 'nats.tls', says: error.message };
  if (error.name === 'TimeoutError' && tls.certFile === undefined) {
    return {
      field: 'nats.tls.cert',
      says: 'it does not answer over TLS; one that wants a certificate of its clients says nothing (nats.tls.cert)',
    };
  }
  return undefined;
}
