// The users of a cluster in a folder: the book with all secrets, the server's part, and a file of credentials for each user.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AccessBook, makeAccessFiles, parseAccessBook } from '@muster/nats';
import { CliError, cliErrorOf, EXIT } from '../exit.ts';

const BOOK = 'book.json';
const SERVER = 'access.conf';

/** All files are for their owner only. */
export class AccessFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Undefined where there is none yet. @throws CliError where it cannot be read */
  tryBook(): AccessBook | undefined {
    const path = join(this.path, BOOK);
    if (!existsSync(path)) return undefined;
    try {
      return parseAccessBook(readFileSync(path, 'utf8'));
    } catch (cause) {
      throw new CliError('bad-request', `${path}: ${cliErrorOf(cause).message}`, { exitCode: EXIT.usage, cause });
    }
  }

  /**
   * Writes everything that the book makes.
   * @returns the files, the server's part first; and that part as text
   */
  async write(book: AccessBook): Promise<{ readonly files: readonly string[]; readonly server: string }> {
    const { server, credentials, book: kept } = await makeAccessFiles(book);
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    // First: what is in the others can be made of it again.
    this.#put(BOOK, `${JSON.stringify(kept, null, 2)}\n`);
    const files = [this.#put(SERVER, server), ...[...credentials].map(([user, text]) => this.#put(`${user}.creds`, text))];
    return { files, server };
  }

  /** The credentials of a user. @throws CliError `not-found` */
  credentials(user: string): string {
    const path = join(this.path, `${user}.creds`);
    if (existsSync(path)) return path;
    throw new CliError('not-found', `${path} is not there`, { hint: `muster nats-config --out ${this.path} makes it` });
  }

  /** Whole or not at all. */
  #put(name: string, text: string): string {
    const path = join(this.path, name);
    rmSync(`${path}.new`, { force: true });
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    chmodSync(`${path}.new`, 0o600);
    renameSync(`${path}.new`, path);
    return path;
  }
}
