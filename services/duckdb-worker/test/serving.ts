import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryLogger, SystemClock } from '@muster/ports';
import type { DatabaseLimits } from '../src/database.ts';
import { QueryServer, type QueryServerOptions } from '../src/query-server.ts';
import { Tenancy } from '../src/tenancy.ts';

export const TOKEN = 'the-token-of-the-reservation';

/** For `expect.poll`, on a machine that may be busy. */
export const PATIENT = { timeout: 60_000 } as const;

export const LIMITS: DatabaseLimits = { threads: 1, memoryBytes: 64 * 2 ** 20, runningMax: 2, waitingMax: 2 };

/** A folder of its own, removed at the end. */
export async function makeFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'muster-duckdb-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown> & { readonly rows?: readonly (readonly unknown[])[] };
}

/** The worker without Muster: a tenancy and its server, and an org that has it. */
export async function serving(options: Partial<QueryServerOptions> & { readonly limits?: Partial<DatabaseLimits> } = {}) {
  const folder = await makeFolder();
  const clock = new SystemClock();
  const logger = new MemoryLogger();
  const tenancy = new Tenancy({ dataFolder: folder.path, limits: { ...LIMITS, ...options.limits }, clock });
  const server = await QueryServer.start({
    tenancy,
    isHolder: (token) => token === TOKEN,
    clock,
    logger,
    host: '127.0.0.1',
    port: 0,
    bodyBytesMax: 64 * 1024,
    statementTimeoutMs: 30_000,
    ...options,
  });
  const fetchQuery = (body: unknown, init: RequestInit = {}): Promise<Response> =>
    fetch(`${server.endpoint}/query`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    });
  const query = async (sql: string, params?: unknown, more: object = {}): Promise<Answer> => {
    const response = await fetchQuery({ sql, ...(params === undefined ? {} : { params }), ...more });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  };
  return {
    folder: folder.path,
    tenancy,
    server,
    logger,
    fetchQuery,
    query,
    health: async () => (await fetch(`${server.endpoint}/health`)).json() as Promise<Record<string, unknown>>,
    async [Symbol.asyncDispose]() {
      await tenancy.close();
      await server.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}
