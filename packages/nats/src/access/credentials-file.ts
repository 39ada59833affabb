// The file by which a program proves to NATS who it is, in one form for every kind of proof. What NATS's own tools read of
// it (`nats --creds`, `nats --nkey`) they find; the lines that begin with # are Muster's.
import { MusterError } from '@muster/protocol';
import { type KeyPair, encode as toBase64 } from '@nats-io/nkeys';
import { type Authenticator, usernamePasswordAuthenticator } from '@nats-io/transport-node';
import { keyOfSeed } from './native-key-pair.ts';

/** What is in a file of credentials. */
export interface CredentialsText {
  /** As it is shown to people. */
  readonly title: string;
  readonly inboxPrefix: string;
  readonly proof:
    | { readonly kind: 'jwt'; readonly jwt: string; readonly seed: string }
    | { readonly kind: 'nkey'; readonly seed: string }
    | { readonly kind: 'password'; readonly user: string; readonly password: string };
}

/** Read from a file of credentials. */
export interface ReadCredentials {
  /** Undefined where the file is not of Muster's making. */
  readonly inboxPrefix: string | undefined;
  readonly authenticator: Authenticator;
}

const encoder = new TextEncoder();

export function formatCredentials({ title, inboxPrefix, proof }: CredentialsText): string {
  const head = [`# ${title}`, `# inbox prefix: ${inboxPrefix}`];
  switch (proof.kind) {
    case 'jwt':
      return [...head, ...block('NATS USER JWT', proof.jwt), ...block('USER NKEY SEED', proof.seed), ''].join('\n');
    case 'nkey':
      return [...head, ...block('USER NKEY SEED', proof.seed), ''].join('\n');
    case 'password':
      return [...head, `user: ${proof.user}`, `password: ${proof.password}`, ''].join('\n');
  }
}

/**
 * Reads what `formatCredentials` writes, and the `.creds` and seed files of NATS's own tools.
 * @throws MusterError `bad-request` where it is none of them
 */
export function parseCredentials(text: string): ReadCredentials {
  const inboxPrefix = /^# inbox prefix: (\S+)$/m.exec(text)?.[1];
  const jwt = /^-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END/m.exec(text)?.[1];
  const seed = /^\s*(SU[A-Z2-7]{56})\s*$/m.exec(text)?.[1];
  const user = /^user: (\S+)$/m.exec(text)?.[1];
  const password = /^password: (\S+)$/m.exec(text)?.[1];
  if (jwt !== undefined && seed !== undefined) return { inboxPrefix, authenticator: keyAuthenticator(seed, { jwt }) };
  if (seed !== undefined) return { inboxPrefix, authenticator: keyAuthenticator(seed) };
  if (user !== undefined && password !== undefined) {
    return { inboxPrefix, authenticator: usernamePasswordAuthenticator(user, password) };
  }
  throw new MusterError('bad-request', 'the credentials hold neither a user JWT with its seed, nor a seed, nor a user with a password');
}

/** The closing line has six dashes and more: that is how NATS's own tools write it. */
export function block(name: string, content: string): readonly string[] {
  return [`-----BEGIN ${name}-----`, content, `------END ${name}------`, ''];
}

/** Signs what the server asks to be signed, as the client's own authenticators do, without their mathematics. */
function keyAuthenticator(seed: string, also: { readonly jwt?: string } = {}): Authenticator {
  let key: KeyPair;
  try {
    key = keyOfSeed(seed);
  } catch (cause) {
    throw new MusterError('bad-request', 'the seed in the credentials is not one', { cause });
  }
  return (nonce) => ({ ...also, nkey: key.getPublicKey(), sig: nonce ? toBase64(key.sign(encoder.encode(nonce))) : '' });
}
