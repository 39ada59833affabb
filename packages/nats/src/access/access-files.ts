// What is made of the users of a cluster: the access part of a nats-server's configuration, and a file of credentials each.
// In the server's part is no secret but with `password`; with `jwt` and `nkeys` it has public keys only.
import { type AccessBook, aboutUser, type BookUser, pairOf, userNameOf } from './access-book.ts';
import { type CredentialsText, formatCredentials } from './credentials-file.ts';
import { encodeOperatorMode, withClaims } from './operator-mode.ts';
import { ANSWER_TTL_MS, type Permissions, permissionsOf } from './roles.ts';

/** What a book makes. */
export interface AccessFiles {
  /** To be included in the configuration of every nats-server of the cluster. */
  readonly server: string;
  /** By the name of the user. */
  readonly credentials: ReadonlyMap<string, string>;
  /** With what has to be the same the next time; to be kept in the place of the one given. */
  readonly book: AccessBook;
}

/** The server's part and the credentials of every user. */
export async function makeAccessFiles(given: AccessBook): Promise<AccessFiles> {
  const book = await withClaims(given);
  const head = [
    `# Who may do what in the Muster cluster ${book.cluster}: made by muster nats-config, include it in each server's`,
    '# configuration. docs/guide/security.md says what each user may do.',
    '',
  ];
  if (book.kind === 'jwt') {
    const { server, credentials } = await encodeOperatorMode(book);
    return { server: [...head, ...server, ''].join('\n'), credentials, book };
  }
  const users = book.users.flatMap((user) =>
    [user.secret, ...(user.previous === undefined ? [] : [user.previous])].map((secret) => serverUser(book, user, secret)),
  );
  const anonymous = book.users.some(({ role }) => role === 'anonymous') ? ['no_auth_user: anonymous'] : [];
  const lines = [`authorization: ${JSON.stringify({ users }, null, 2)}`, ...anonymous, ''];
  const credentials = new Map(
    book.users
      .filter(({ role }) => role !== 'anonymous')
      .map((user): [string, string] => [userNameOf(user), formatCredentials({ ...aboutUser(book, user), proof: proofOf(book, user) })]),
  );
  return { server: [...head, ...lines].join('\n'), credentials, book };
}

function proofOf({ kind }: AccessBook, user: BookUser): CredentialsText['proof'] {
  if (kind === 'nkeys') return { kind: 'nkey', seed: user.secret.value };
  return { kind: 'password', user: loginOf(user, user.secret), password: user.secret.value };
}

function serverUser(book: AccessBook, user: BookUser, secret: BookUser['secret']): object {
  const permissions = toServerPermissions(permissionsOf(user.role, userNameOf(user), book.cluster, user.name));
  if (book.kind === 'nkeys' && user.role !== 'anonymous') return { nkey: pairOf(secret.value).getPublicKey(), permissions };
  return { user: loginOf(user, secret), password: secret.value, permissions };
}

/** Two secrets of one user are two users to a server. */
function loginOf(user: BookUser, { generation }: BookUser['secret']): string {
  return generation === 1 ? userNameOf(user) : `${userNameOf(user)}.${generation}`;
}

function toServerPermissions({ publish, subscribe, answers }: Permissions): object {
  return {
    publish: { allow: publish },
    subscribe: { allow: subscribe },
    ...(answers ? { allow_responses: { max: 1, expires: `${ANSWER_TTL_MS / 1000}s` } } : {}),
  };
}
