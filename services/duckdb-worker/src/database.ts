// One DuckDB file, open.
//
// Owns: the file, its lock, the connections to it and the queries that run on them.
// Invariants:
//   D1. SQL reaches this file and its scratch folder, nothing else: access to other files is switched off and the
//       configuration locked before the first statement of a tenant.
//   D2. Closed means closed: no query runs any more, and another process can open the file.
import { rm } from 'node:fs/promises';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Clock } from '@muster/ports';
import { Admission } from './admission.ts';
import { type DatabaseFile, DatabaseRefused } from './database-file.ts';
import type { Interruption, InterruptReason } from './interruption.ts';
import { Session, type Statement, StatementFailed, type StatementResult } from './session.ts';

export interface DatabaseLimits {
  /** DuckDB's threads. */
  readonly threads: number;
  /** DuckDB's own memory, bytes; beyond it, it writes to its scratch folder. */
  readonly memoryBytes: number;
  /** Queries that run at once. Each takes a thread of libuv's pool while it runs. */
  readonly runningMax: number;
  /** Queries that wait for one of these; more are refused. */
  readonly waitingMax: number;
}

export class Database {
  readonly file: DatabaseFile;
  readonly #instance: DuckDBInstance;
  readonly #clock: Clock;
  readonly #limits: DatabaseLimits;
  readonly #admission: Admission;
  readonly #idle: Session[] = [];
  readonly #queries = new Map<Interruption, Promise<unknown>>();
  #failure: string | undefined;
  #closing: Promise<void> | undefined;

  private constructor(file: DatabaseFile, instance: DuckDBInstance, limits: DatabaseLimits, clock: Clock) {
    this.file = file;
    this.#instance = instance;
    this.#limits = limits;
    this.#clock = clock;
    this.#admission = new Admission(limits.runningMax, limits.waitingMax);
  }

  /**
   * Opens the file, or makes it.
   * @throws DatabaseRefused where it is locked, not to be read, or no database
   */
  static async open(file: DatabaseFile, limits: DatabaseLimits, clock: Clock): Promise<Database> {
    let instance: DuckDBInstance | undefined;
    try {
      await rm(file.temporaryFolder, { recursive: true, force: true });
      instance = await DuckDBInstance.create(file.path, {
        threads: String(limits.threads),
        memory_limit: `${limits.memoryBytes}B`,
        temp_directory: file.temporaryFolder,
        autoinstall_known_extensions: 'false',
        autoload_known_extensions: 'false',
      });
      await lockDown(await instance.connect());
      return new Database(file, instance, limits, clock);
    } catch (error) {
      instance?.closeSync();
      throw new DatabaseRefused(whyRefused(file, error instanceof Error ? error.message : String(error)), { cause: error });
    }
  }

  /** Queries that run. */
  get running(): number {
    return this.#admission.running;
  }

  /** Queries that wait for their turn. */
  get waiting(): number {
    return this.#admission.waiting;
  }

  /** DuckDB's words when the database has failed for good; every further statement fails. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /**
   * Runs the statement when it is its turn and gives its result to `use`, which reads it.
   * @throws StatementFailed, Interrupted, TooManyQueries, MusterError `bad-request`
   */
  query<T>(statement: Statement, interruption: Interruption, use: (result: StatementResult) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) interruption.interrupt('ended');
    const query = this.#query(statement, interruption, use).finally(() => this.#queries.delete(interruption));
    this.#queries.set(interruption, query);
    return query;
  }

  /** Resolves when no query runs or waits. */
  async idle(): Promise<void> {
    while (this.#queries.size > 0) await Promise.allSettled(this.#queries.values());
  }

  /** Interrupts what runs, closes the file and removes the scratch folder. */
  close(reason: InterruptReason): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #query<T>(statement: Statement, interruption: Interruption, use: (result: StatementResult) => Promise<T>): Promise<T> {
    const leave = await this.#admission.enter(interruption);
    let session: Session | undefined;
    try {
      session = this.#idle.pop() ?? new Session(await this.#instance.connect(), this.#clock);
      return await session.run(statement, interruption, use);
    } catch (error) {
      if (error instanceof StatementFailed && error.isFatal) this.#failure = error.message;
      throw error;
    } finally {
      if (session?.isReusable === true && this.#idle.length < this.#limits.runningMax) this.#idle.push(session);
      else session?.close();
      leave();
    }
  }

  async #close(reason: InterruptReason): Promise<void> {
    const queries = [...this.#queries];
    for (const [interruption] of queries) interruption.interrupt(reason);
    await Promise.allSettled(queries.map(([, query]) => query));
    for (const session of this.#idle.splice(0)) session.close();
    this.#instance.closeSync();
    await rm(this.file.temporaryFolder, { recursive: true, force: true });
  }
}

/** What is left of the configuration goes here because DuckDB takes it only from an open database, and in this order (D1). */
async function lockDown(connection: DuckDBConnection): Promise<void> {
  try {
    await connection.run("SET GLOBAL TimeZone = 'UTC'");
    await connection.run('SET GLOBAL enable_external_access = false');
    await connection.run('SET GLOBAL lock_configuration = true');
  } finally {
    connection.disconnectSync();
  }
}

function whyRefused({ org, database, path }: DatabaseFile, said: string): string {
  const named = `database ${database} of org ${org}`;
  if (said.includes('Could not set lock on file')) {
    const holder = /\(PID (\d+)\)/.exec(said)?.[1];
    return `${named} is locked by another process${holder === undefined ? '' : ` (${holder})`}`;
  }
  // The client is told in these words: the folders of this machine are none of its business.
  return `${named} cannot be opened: ${said.replaceAll(path, `${database}.duckdb`)}`;
}
