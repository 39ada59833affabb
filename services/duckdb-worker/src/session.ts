// One connection to the database, and what it runs.
//
// Invariants:
//   S1. A result that failed never looks like one that ended. DuckDB's client ends the stream of a statement that failed or
//       was interrupted half-way as if it were complete; only the type of the result tells (INVALID).
//   S2. No stream is left half read: it would hold the file, and its lock, for as long as its object lives.
//   S3. An interruption is never lost: DuckDB forgets one that comes before its statement has begun, so it is repeated until
//       the statement has ended.
//   S4. A session is used again only after statements that leave nothing behind in it: no open transaction, no temporary
//       table, no variable, no other schema.
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type DuckDBConnection,
  type DuckDBDataChunk,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  ResultReturnType,
  StatementType,
} from '@duckdb/node-api';
import type { Clock, Timer } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import { Interrupted, type Interruption } from './interruption.ts';
import { bind, type Parameters } from './parameters.ts';
import { toJson, whyNotJson } from './values.ts';

export interface Statement {
  readonly sql: string;
  readonly parameters?: Parameters | undefined;
}

export interface Column {
  readonly name: string;
  /** As DuckDB writes it: `DECIMAL(18,3)`. */
  readonly type: string;
}

/** What a statement answers, while it is being read. */
export interface StatementResult {
  /** Empty where the statement gives no rows. */
  readonly columns: readonly Column[];
  /** Of an INSERT, UPDATE or DELETE without RETURNING. */
  readonly rowsChanged: number | undefined;
  /**
   * The rows, each as a JSON array; read them once.
   * @throws StatementFailed, Interrupted
   */
  chunks(): AsyncGenerator<Iterable<string>>;
}

/** DuckDB refused the statement or failed in it; the message is DuckDB's. */
export class StatementFailed extends Error {
  /** The database cannot be used any more. */
  readonly isFatal: boolean;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StatementFailed';
    this.isFatal = /^(FATAL|INTERNAL) Error/.test(message);
  }
}

/** Statements that leave nothing behind in their session (S4). */
const PLAIN: ReadonlySet<StatementType> = new Set([
  StatementType.SELECT,
  StatementType.INSERT,
  StatementType.UPDATE,
  StatementType.DELETE,
  StatementType.EXPLAIN,
  StatementType.MERGE_INTO,
]);
/** Parsed and planned statements kept by a session; preparing one costs a third of a point look-up. */
const PREPARED_MAX = 32;
const INTERRUPT_AGAIN_MS = 20;
/** Values turned into JSON before others get their turn: some 4 ms, so that a wide table holds up neither health nor beats. */
const VALUES_PER_TURN = 4_096;

export class Session {
  readonly #connection: DuckDBConnection;
  readonly #clock: Clock;
  /** By their text, the least recently used first. */
  readonly #prepared = new Map<string, DuckDBPreparedStatement>();
  #isReusable = true;

  constructor(connection: DuckDBConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** False when it must be closed instead of being used again. */
  get isReusable(): boolean {
    return this.#isReusable;
  }

  close(): void {
    for (const prepared of this.#prepared.values()) prepared.destroySync();
    this.#prepared.clear();
    this.#connection.disconnectSync();
  }

  /**
   * Runs the statement, or several with `;` between them of which the last one answers, and gives its result to `use`.
   * @throws StatementFailed, Interrupted, MusterError `bad-request` (a parameter, or a type that JSON cannot carry)
   */
  async run<T>(statement: Statement, interruption: Interruption, use: (result: StatementResult) => Promise<T>): Promise<T> {
    const disarm = this.#passOn(interruption);
    try {
      const prepared = await this.#prepare(statement, interruption);
      try {
        bind(prepared, statement.parameters ?? []);
        interruption.check();
        const result = new ReadingResult(await fromDuckDB(() => prepared.stream()), interruption);
        try {
          return await use(result);
        } finally {
          await result.finish(this.#connection);
        }
      } finally {
        if (this.#prepared.get(statement.sql) !== prepared) prepared.destroySync();
      }
    } catch (error) {
      // DuckDB's own words for it are `INTERRUPT Error: Interrupted!`.
      throw error instanceof StatementFailed && interruption.reason !== undefined ? new Interrupted(interruption.reason) : error;
    } finally {
      disarm();
    }
  }

  async #prepare({ sql, parameters }: Statement, interruption: Interruption): Promise<DuckDBPreparedStatement> {
    const known = this.#prepared.get(sql);
    if (known !== undefined) {
      this.#prepared.delete(sql);
      this.#prepared.set(sql, known);
      return known;
    }
    const extracted = await fromDuckDB(() => this.#connection.extractStatements(sql));
    if (extracted.count > 1) {
      if (parameters !== undefined) throw new MusterError('bad-request', 'params: go with a single statement only', { field: 'params' });
      this.#isReusable = false;
      for (let index = 0; index < extracted.count - 1; index++) {
        interruption.check();
        const prepared = await fromDuckDB(() => extracted.prepare(index));
        try {
          await fromDuckDB(() => prepared.run());
        } finally {
          prepared.destroySync();
        }
      }
      interruption.check();
      return fromDuckDB(() => extracted.prepare(extracted.count - 1));
    }
    const prepared = await fromDuckDB(() => extracted.prepare(0));
    if (PLAIN.has(prepared.statementType)) this.#keep(sql, prepared);
    else this.#isReusable = false;
    return prepared;
  }

  #keep(sql: string, prepared: DuckDBPreparedStatement): void {
    this.#prepared.set(sql, prepared);
    if (this.#prepared.size <= PREPARED_MAX) return;
    for (const [oldest, statement] of this.#prepared) {
      this.#prepared.delete(oldest);
      statement.destroySync();
      return;
    }
  }

  /** Interrupts the connection until the answer is called (S3). */
  #passOn(interruption: Interruption): () => void {
    let timer: Timer | undefined;
    const interrupt = () => {
      this.#connection.interrupt();
      timer = this.#clock.setTimer(INTERRUPT_AGAIN_MS, interrupt);
    };
    const forget = interruption.onInterrupt(interrupt);
    return () => {
      forget();
      timer?.cancel();
    };
  }
}

class ReadingResult implements StatementResult {
  readonly columns: readonly Column[];
  readonly rowsChanged: number | undefined;
  readonly #result: DuckDBResult;
  readonly #interruption: Interruption;
  #isEnded = false;

  constructor(result: DuckDBResult, interruption: Interruption) {
    this.#result = result;
    this.#interruption = interruption;
    this.#isEnded = !result.isStreaming;
    const hasRows = result.returnType === ResultReturnType.QUERY_RESULT;
    this.rowsChanged = result.returnType === ResultReturnType.CHANGED_ROWS ? result.rowsChanged : undefined;
    this.columns = Array.from({ length: hasRows ? result.columnCount : 0 }, (_, at) => {
      const type = result.columnType(at);
      return { name: result.columnName(at), type: type.alias ?? type.toString() };
    });
  }

  async *chunks(): AsyncGenerator<Iterable<string>> {
    if (this.columns.length === 0) return;
    this.#checkTypes();
    let rows = 0;
    for (;;) {
      this.#interruption.check();
      const chunk = await this.#next();
      if (chunk === undefined) break;
      const rowsPerTurn = Math.max(1, Math.floor(VALUES_PER_TURN / this.columns.length));
      for (let row = 0; row < chunk.rowCount; row += rowsPerTurn) {
        if (row > 0) await nextTurn();
        yield rowsOf(chunk, row, Math.min(row + rowsPerTurn, chunk.rowCount));
      }
      rows += chunk.rowCount;
    }
    this.#interruption.check();
    if (this.#result.returnType === ResultReturnType.INVALID) {
      throw new StatementFailed(`the statement failed after ${rows} rows; DuckDB gives no reason for a failure in the middle of a stream`);
    }
  }

  /** Reads what is left, interrupted, so that nothing is held any more (S2). */
  async finish(connection: DuckDBConnection): Promise<void> {
    while (!this.#isEnded) {
      connection.interrupt();
      await this.#next();
    }
  }

  async #next(): Promise<DuckDBDataChunk | undefined> {
    const chunk = await fromDuckDB(() => this.#result.fetchChunk());
    if (chunk !== null && chunk.rowCount > 0) return chunk;
    this.#isEnded = true;
    return undefined;
  }

  #checkTypes(): void {
    for (let at = 0; at < this.columns.length; at++) {
      const reason = whyNotJson(this.#result.columnType(at));
      if (reason !== undefined) throw new MusterError('bad-request', `column ${this.#result.columnName(at)}: ${reason}`, { field: 'sql' });
    }
  }
}

function* rowsOf(chunk: DuckDBDataChunk, from: number, to: number): Generator<string> {
  for (let row = from; row < to; row++) yield JSON.stringify(chunk.getRowValues(row).map(toJson));
}

async function fromDuckDB<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const said = message.replace(/^Failed to extract statements: /, '');
    // This is all that the client says of a text in which there is nothing but comments and semicolons.
    throw new StatementFailed(said === 'Error in native callback' ? 'there is no statement' : said, { cause: error });
  }
}
