import { type AccessKind, isAtLeast, newAccessBook, type UserWanted, withUsers } from '@muster/nats';
import type { AccessFolder } from '../cluster/access-folder.ts';
import { CliError } from '../exit.ts';
import type { DataFolder } from './data-folder.ts';

/** Whoever comes without credentials, from this machine, is a client that may look on. */
const USERS: readonly UserWanted[] = (
  ['setup', 'replica', 'host', 'simulator', 'worker', 'client', 'observer', 'admin', 'anonymous'] as const
).map((role) => ({ role }));
/** From here on a server that knows its users by JWTs can take in others too. */
const JWT_VERSION_MIN = '2.11.0';

/**
 * The users of the nats-server of a data folder; made the first time, kept since. An account of JWTs has a store of its own,
 * so a folder that has one without stays without.
 * @returns where they are, and the server's part
 */
export async function localAccess(
  data: DataFolder,
  cluster: string,
  serverVersion: string,
): Promise<{ readonly access: AccessFolder; readonly server: string }> {
  const { access, state } = data;
  const kind: AccessKind = isAtLeast(serverVersion, JWT_VERSION_MIN) && state.natsPort === undefined ? 'jwt' : 'nkeys';
  const book = access.tryBook() ?? newAccessBook(cluster, kind, []);
  if (book.kind === 'jwt' && !isAtLeast(serverVersion, JWT_VERSION_MIN)) {
    throw new CliError(
      'unsafe-server',
      `${data.path} was made with a newer nats-server: ${JWT_VERSION_MIN} is the least, not ${serverVersion}`,
      {
        hint: 'name a newer one with MUSTER_NATS_SERVER, or give another folder with --data',
      },
    );
  }
  const { server } = await access.write(withUsers(book, USERS));
  return { access, server };
}
