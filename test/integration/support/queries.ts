import { setTimeout as passed } from 'node:timers/promises';
import { eventually } from '@muster/testkit';
import { SLOW } from './cluster.ts';

/** What a tenant needs to reach its worker. */
export interface Holder {
  readonly endpoint: string;
  readonly token: string;
}

const QUERY_MS = 10_000;
const PAUSE_MS = 50;

/** Runs one statement on a worker. @throws Error with what it answered, where that is no rows */
export async function query({ endpoint, token }: Holder, sql: string): Promise<readonly (readonly unknown[])[]> {
  const response = await fetch(new URL('/query', endpoint), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ sql }),
    signal: AbortSignal.timeout(QUERY_MS),
  });
  const body = (await response.json()) as { readonly rows?: readonly (readonly unknown[])[] };
  if (body.rows === undefined) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
  return body.rows;
}

/** A tenant that queries its worker all the time: it adds a row, and counts what it added. */
export class QueryLoop {
  readonly #holder: Holder;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #done = 0;
  #failure: unknown;

  constructor(holder: Holder) {
    this.#holder = holder;
    this.#running = this.#run();
  }

  /** Resolves when so many more have been answered. @throws the first failure */
  async more(count: number): Promise<void> {
    const wanted = this.#done + count;
    await eventually(() => {
      this.#assert();
      return this.#done >= wanted;
    }, SLOW);
  }

  /** Ends it. @returns how many were answered @throws the first failure */
  async stop(): Promise<number> {
    this.#stop.abort();
    await this.#running;
    this.#assert();
    return this.#done;
  }

  #assert(): void {
    if (this.#failure !== undefined) throw new Error(`query ${this.#done + 1} failed`, { cause: this.#failure });
  }

  async #run(): Promise<void> {
    try {
      await query(this.#holder, 'CREATE TABLE IF NOT EXISTS seen (n INTEGER)');
      while (!this.#stop.signal.aborted) {
        await query(this.#holder, `INSERT INTO seen VALUES (${this.#done + 1})`);
        const rows = await query(this.#holder, 'SELECT count(*)::INTEGER, max(n) FROM seen');
        if (JSON.stringify(rows) !== JSON.stringify([[this.#done + 1, this.#done + 1]])) {
          throw new Error(`after ${this.#done + 1} inserts the worker counts ${JSON.stringify(rows)}`);
        }
        this.#done += 1;
        await passed(PAUSE_MS);
      }
    } catch (error) {
      this.#failure = error;
    }
  }
}
