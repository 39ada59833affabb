// The access of a cluster as JWTs: an operator, one account, users that the account signed, and a key that may sign workers.
// What a worker may do is a template in the account, filled in with the worker's name by the server: so the key that the
// replicas hold makes workers, and nothing else.
import { encodeAccount, encodeOperator, encodeUser, newScopedSigner, type UserPermissionsLimits } from '@nats-io/jwt';
import { type AccessBook, aboutUser, type BookUser, pairOf, userNameOf } from './access-book.ts';
import { formatCredentials } from './credentials-file.ts';
import { ANSWER_TTL_MS, type Permissions, permissionsOf, workerPermissions } from './roles.ts';
import { formatWorkerSigningKey } from './worker-credentials.ts';

const UNLIMITED = { subs: -1, data: -1, payload: -1 } as const;
const ACCOUNT_LIMITS = { ...UNLIMITED, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: 0 } as const;
const JETSTREAM_LIMITS = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 } as const;

/** What the operator is, signed once: each signature is another one, and a server reads no other one while it runs. */
export async function withClaims(book: AccessBook): Promise<AccessBook> {
  if (book.keys === undefined || book.claims !== undefined) return book;
  const operator = pairOf(book.keys.operator);
  const system = pairOf(book.keys.system);
  return {
    ...book,
    claims: {
      operator: await encodeOperator(`muster-${book.cluster}`, operator, { system_account: system.getPublicKey() }),
      system: await encodeAccount('SYS', system, { limits: ACCOUNT_LIMITS }, { signer: operator }),
    },
  };
}

/** The lines of a server's configuration, and the credentials of each user. */
export async function encodeOperatorMode(
  book: AccessBook,
): Promise<{ readonly server: readonly string[]; readonly credentials: ReadonlyMap<string, string> }> {
  if (book.keys === undefined || book.claims === undefined) throw new Error('a book of JWTs without its keys');
  const operator = pairOf(book.keys.operator);
  const system = pairOf(book.keys.system);
  const account = pairOf(book.keys.account);
  const accountJwt = await encodeAccount(
    `muster-${book.cluster}`,
    account,
    {
      limits: { ...ACCOUNT_LIMITS, ...JETSTREAM_LIMITS },
      signing_keys: workerKeysOf(book).map((seed) => newScopedSigner(pairOf(seed), 'worker', toLimits(workerPermissions('{{name()}}')))),
      revocations: book.revoked,
    },
    { signer: operator },
  );
  const credentials = new Map<string, string>();
  const server = [
    `operator: ${book.claims.operator}`,
    `system_account: ${system.getPublicKey()}`,
    'resolver: MEMORY',
    `resolver_preload: {\n  ${system.getPublicKey()}: ${book.claims.system}\n  ${account.getPublicKey()}: ${accountJwt}\n}`,
  ];
  for (const user of book.users) {
    const seed = user.secret.value;
    if (user.role === 'worker') {
      const title = `muster: signs credentials for the workers of cluster ${book.cluster}`;
      credentials.set('worker', formatWorkerSigningKey(title, account.getPublicKey(), seed));
      continue;
    }
    const permissions = permissionsOf(user.role, userNameOf(user), book.cluster, user.name);
    const claims = { ...toLimits(permissions), bearer_token: user.role === 'anonymous' };
    const jwt = await encodeUser(userNameOf(user), pairOf(seed), account, claims);
    // Whoever comes without credentials is this one; a server before 2.11 refuses the line.
    if (user.role === 'anonymous') server.push(`default_sentinel: ${jwt}`);
    else credentials.set(userNameOf(user), formatCredentials({ ...aboutUser(book, user), proof: { kind: 'jwt', jwt, seed } }));
  }
  return { server, credentials };
}

/** What was signed by the one before is valid until it is retired. */
function workerKeysOf(book: AccessBook): readonly string[] {
  return book.users
    .filter((user: BookUser) => user.role === 'worker')
    .flatMap(({ secret, previous }) => [secret.value, ...(previous === undefined ? [] : [previous.value])]);
}

function toLimits({ publish, subscribe, answers }: Permissions): Partial<UserPermissionsLimits> {
  return {
    ...UNLIMITED,
    pub: { allow: [...publish] },
    sub: { allow: [...subscribe] },
    ...(answers ? { resp: { max: 1, ttl: ANSWER_TTL_MS * 1e6 } } : {}),
  };
}
