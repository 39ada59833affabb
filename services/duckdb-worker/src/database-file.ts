// Where the database of an org lies: <data>/<org>/<database>.duckdb, and nowhere else.
import { lstat, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** Names a database: it becomes a part of a path, so nothing that a path gives a meaning to. */
export const DATABASE_NAME = /^[A-Za-z0-9_-]{1,128}$/;

export interface DatabaseFile {
  readonly org: string;
  readonly database: string;
  readonly path: string;
  /** DuckDB's scratch files while the database is open. */
  readonly temporaryFolder: string;
}

/** The database cannot be opened because of what was asked for. */
export class DatabaseRefused extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DatabaseRefused';
  }
}

/**
 * The file of a database, its folder made.
 * @throws DatabaseRefused where a name is none, or where the folder or the file is somebody else's under this name (a link,
 *   or an org of another case on a file system that does not tell cases apart)
 */
export async function locateDatabase(dataFolder: string, org: string, database: string): Promise<DatabaseFile> {
  if (!DATABASE_NAME.test(org)) throw new DatabaseRefused('org: may have letters, digits, - and _ only, at most 128');
  if (!DATABASE_NAME.test(database)) throw new DatabaseRefused('activation.database: may have letters, digits, - and _ only, at most 128');
  const folder = join(dataFolder, org);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if ((await realpath(folder)) !== join(await realpath(dataFolder), org)) {
    throw new DatabaseRefused(`the folder of org ${org} is a link, or another org's whose name differs in case only`);
  }
  const path = join(folder, `${database}.duckdb`);
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined && !found.isFile()) throw new DatabaseRefused(`database ${database} of org ${org} is not a file`);
  return { org, database, path, temporaryFolder: `${path}.tmp` };
}
