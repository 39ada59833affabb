// The users of one cluster and their secrets. A rotated secret leaves the one before it valid until it is retired, so that
// programs change over one by one.
import { randomBytes } from 'node:crypto';
import { MusterError } from '@muster/protocol';
import { createAccount, createOperator, createUser, fromSeed, type KeyPair } from '@nats-io/nkeys';
import { z } from 'zod';
import { inboxPrefixOf, ROLES, type Role } from './roles.ts';

/** How users prove who they are. */
export const ACCESS_KINDS = ['jwt', 'nkeys', 'password'] as const;
export type AccessKind = (typeof ACCESS_KINDS)[number];

const secretSchema = z.object({ generation: z.number().int(), value: z.string() });
const userSchema = z.object({
  role: z.enum(ROLES),
  /** Of a client or a host that has a user of its own. */
  name: z.string().optional(),
  secret: secretSchema,
  previous: secretSchema.optional(),
});
const bookSchema = z.object({
  v: z.literal(1),
  cluster: z.string(),
  kind: z.enum(ACCESS_KINDS),
  users: z.array(userSchema),
  /** `jwt` only: seeds, and users whose secrets are void, with when. */
  keys: z.object({ operator: z.string(), system: z.string(), account: z.string() }).optional(),
  /** `jwt` only: what says who the operator and its own account are. A server that runs takes no others. */
  claims: z.object({ operator: z.string(), system: z.string() }).optional(),
  revoked: z.record(z.string(), z.number()),
});
/** All secrets of a cluster's users: for whoever sets the cluster up, and for nobody else. */
export type AccessBook = Readonly<z.infer<typeof bookSchema>>;
export type BookUser = Readonly<z.infer<typeof userSchema>>;

/** A user to be in the book. */
export interface UserWanted {
  readonly role: Role;
  readonly name?: string | undefined;
}

/** As NATS knows it and as its file is called: `replica`, `client-shop`. */
export function userNameOf({ role, name }: UserWanted): string {
  return name === undefined ? role : `${role}-${name}`;
}

/** A book with fresh secrets. */
export function newAccessBook(cluster: string, kind: AccessKind, wanted: readonly UserWanted[]): AccessBook {
  const keys = { operator: seedOf(createOperator()), system: seedOf(createAccount()), account: seedOf(createAccount()) };
  const book: AccessBook = { v: 1, cluster, kind, users: [], revoked: {}, ...(kind === 'jwt' ? { keys } : {}) };
  return withUsers(book, wanted);
}

/** The same book, and users that it did not have. */
export function withUsers(book: AccessBook, wanted: readonly UserWanted[]): AccessBook {
  const known = new Set(book.users.map(userNameOf));
  const fresh = wanted.filter((one) => !known.has(userNameOf(one)));
  return { ...book, users: [...book.users, ...fresh.map((one) => ({ ...one, secret: freshSecret(book.kind, one.role, 1) }))] };
}

/** New secrets for these users; those before them are valid until `withRetired`. @throws MusterError `not-found` */
export function withRotated(book: AccessBook, names: readonly string[]): AccessBook {
  const unknown = names.find((name) => !book.users.some((user) => userNameOf(user) === name));
  if (unknown !== undefined) {
    throw new MusterError('not-found', `there is no user ${unknown}: there are ${book.users.map(userNameOf).join(', ')}`);
  }
  const users = book.users.map((user) => {
    if (!names.includes(userNameOf(user))) return user;
    if (user.previous !== undefined) {
      throw new MusterError('conflict', `${userNameOf(user)} was rotated before, and its old secret is still valid: retire it first`);
    }
    return { ...user, secret: freshSecret(book.kind, user.role, user.secret.generation + 1), previous: user.secret };
  });
  return { ...book, users };
}

/** What was rotated away is void from now on. */
export function withRetired(book: AccessBook, nowWallMs: number): AccessBook {
  const revoked: Record<string, number> = { ...book.revoked };
  const users = book.users.map(({ previous, ...user }) => {
    // A key that signed workers is taken out of the account, and everything that it signed with it.
    if (previous !== undefined && book.kind === 'jwt' && user.role !== 'worker') {
      revoked[pairOf(previous.value).getPublicKey()] = Math.ceil(nowWallMs / 1000);
    }
    return user;
  });
  return { ...book, users, revoked };
}

/** @throws MusterError `bad-request` where it is no book */
export function parseAccessBook(text: string): AccessBook {
  try {
    return bookSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new MusterError('bad-request', 'this is no book of the users of a cluster', { cause });
  }
}

/** How a file of credentials begins. */
export function aboutUser({ cluster }: AccessBook, user: BookUser): { readonly title: string; readonly inboxPrefix: string } {
  const name = userNameOf(user);
  return { title: `muster: user ${name} of cluster ${cluster}`, inboxPrefix: inboxPrefixOf(name, user.role) };
}

/** A seed as a pair of keys. */
export function pairOf(seed: string): KeyPair {
  return fromSeed(new TextEncoder().encode(seed));
}

function freshSecret(kind: AccessKind, role: Role, generation: number): BookUser['secret'] {
  // Whoever comes without credentials has no key; a server wants a password for it nevertheless.
  if (kind === 'password' || (kind === 'nkeys' && role === 'anonymous')) {
    return { generation, value: randomBytes(32).toString('base64url') };
  }
  return { generation, value: seedOf(kind === 'jwt' && role === 'worker' ? createAccount() : createUser()) };
}

function seedOf(pair: KeyPair): string {
  return new TextDecoder().decode(pair.getSeed());
}
