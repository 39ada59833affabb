import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AccessKind, makeAccessFiles, newAccessBook, ROLES } from '@muster/nats';
import type { NatsAccess } from '@muster/protocol';

/** The users of a test's cluster, one of each role, with their files of credentials in its folder. */
export class TestAccess {
  /** To be in the configuration of its nats-server. */
  readonly serverConfig: string;
  readonly #folder: string;

  private constructor(folder: string, serverConfig: string) {
    this.#folder = folder;
    this.serverConfig = serverConfig;
  }

  static async make(folder: string, kind: AccessKind): Promise<TestAccess> {
    const roles = ROLES.filter((role) => role !== 'anonymous');
    const { server, credentials } = await makeAccessFiles(
      newAccessBook(
        'test',
        kind,
        roles.map((role) => ({ role })),
      ),
    );
    const own = join(folder, 'access');
    await mkdir(own, { mode: 0o700 });
    for (const [user, text] of credentials) await writeFile(join(own, `${user}.creds`), text, { mode: 0o600 });
    return new TestAccess(own, server);
  }

  file(user: string): string {
    return join(this.#folder, `${user}.creds`);
  }

  /** For a connection of the test's own. */
  of(user: string): NatsAccess {
    return { credentials: { kind: 'file', path: this.file(user) } };
  }

  /** For a process. */
  env(user: string): Readonly<Record<string, string>> {
    return { MUSTER_NATS_CREDS_FILE: this.file(user) };
  }
}
