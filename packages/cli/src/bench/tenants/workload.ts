// What one tenant asks of its database: the mix of LESSONS.md's main scenario, with answers that can be checked.
//
// Invariants:
//   W1. Every row carries the number of its tenant, and its amount follows from key and number: whatever comes back shows
//       whose it is.
//   W2. The answers count as wrong when they are not exactly what this tenant wrote, give or take what is under way.

/** Rows that a tenant's table begins with. */
export const ROWS = 100_000;

export type QueryKind = 'lookup' | 'aggregate' | 'insert';

/** A statement on its way, and what its answer must be. */
export interface Query {
  readonly kind: QueryKind;
  readonly sql: string;
  readonly params: readonly number[];
  /** @returns what is wrong with the answer; undefined where it is right */
  verify(rows: readonly (readonly unknown[])[]): WrongAnswer | undefined;
}

export interface WrongAnswer {
  readonly message: string;
  /** It showed something that this tenant did not write. */
  readonly isForeign: boolean;
}

const CREATE = 'CREATE TABLE events (key BIGINT PRIMARY KEY, tenant INTEGER NOT NULL, amount BIGINT NOT NULL)';
const LOOKUP = 'SELECT key, tenant, amount FROM events WHERE key = $1';
const AGGREGATE = 'SELECT count(*), sum(tenant), min(tenant), max(tenant) FROM events';
const INSERT = 'INSERT INTO events VALUES ($1, $2, $3)';
/** Tables of anybody, before this tenant has made one. */
export const FOREIGN_TABLES = 'SELECT count(*) FROM information_schema.tables';

/** 8 point look-ups by key, 1 scalar aggregate, 1 insert, spread out. */
const MIX: readonly QueryKind[] = ['lookup', 'lookup', 'lookup', 'aggregate', 'lookup', 'lookup', 'lookup', 'insert', 'lookup', 'lookup'];

/** The queries of one tenant, one after the other. */
export class Workload {
  readonly #tenant: number;
  readonly #random: { next(): number };
  #asked = 0;
  #insertsSent = 0;
  #insertsDone = 0;

  /** @param tenant its number, from 1: what its rows carry */
  constructor(tenant: number, random: { next(): number }) {
    this.#tenant = tenant;
    this.#random = random;
    // Tenants that are served in the same moment do not aggregate in the same moment.
    this.#asked = tenant;
  }

  /** Makes and fills the table, once. */
  setup(): readonly string[] {
    const fill = `INSERT INTO events SELECT range, ${this.#tenant}, (range * 7 + ${this.#tenant}) % 1000 FROM range(${ROWS})`;
    return [CREATE, fill];
  }

  next(): Query {
    const kind = MIX[this.#asked++ % MIX.length] ?? 'lookup';
    switch (kind) {
      case 'lookup':
        return this.#lookup(Math.floor(this.#random.next() * ROWS));
      case 'aggregate':
        return this.#aggregate();
      case 'insert':
        return this.#insert(ROWS + this.#insertsSent++);
    }
  }

  #lookup(key: number): Query {
    const amount = this.#amountOf(key);
    return {
      kind: 'lookup',
      sql: LOOKUP,
      params: [key],
      verify: (rows) => {
        const [row] = rows;
        if (rows.length !== 1 || row === undefined) return wrong(`key ${key} gave ${rows.length} rows`);
        if (Number(row[1]) !== this.#tenant) return foreign(`key ${key} is of tenant ${String(row[1])}`);
        return Number(row[0]) === key && Number(row[2]) === amount ? undefined : wrong(`key ${key} gave ${JSON.stringify(row)}`);
      },
    };
  }

  #aggregate(): Query {
    const leastRows = ROWS + this.#insertsDone;
    return {
      kind: 'aggregate',
      sql: AGGREGATE,
      params: [],
      verify: (rows) => {
        const [count, sum, min, max] = (rows[0] ?? []).map(Number);
        if (count === undefined || sum === undefined) return wrong('the aggregate gave no row');
        if (min !== this.#tenant || max !== this.#tenant || sum !== count * this.#tenant) {
          return foreign(`the rows are of tenants ${min} to ${max}`);
        }
        const mostRows = ROWS + this.#insertsSent;
        return count >= leastRows && count <= mostRows ? undefined : wrong(`${count} rows, not ${leastRows} to ${mostRows}`);
      },
    };
  }

  #insert(key: number): Query {
    return {
      kind: 'insert',
      sql: INSERT,
      params: [key, this.#tenant, this.#amountOf(key)],
      verify: () => {
        this.#insertsDone += 1;
        return undefined;
      },
    };
  }

  #amountOf(key: number): number {
    return (key * 7 + this.#tenant) % 1_000;
  }
}

function wrong(message: string): WrongAnswer {
  return { message, isForeign: false };
}

function foreign(message: string): WrongAnswer {
  return { message, isForeign: true };
}
