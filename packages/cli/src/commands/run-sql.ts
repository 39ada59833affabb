import type { Reservation } from '@muster/protocol';
import { z } from 'zod';
import { CliError } from '../exit.ts';

const TIMEOUT_MS = 60_000;

const rowsSchema = z.looseObject({
  columns: z.array(z.looseObject({ name: z.string() })),
  rows: z.array(z.array(z.unknown())),
});
const refusalSchema = z.looseObject({ error: z.looseObject({ code: z.string(), message: z.string() }) });

/** The rows of one statement. */
export interface SqlAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/**
 * Runs a statement on a worker that answers `POST /query`, as the DuckDB worker does.
 * @throws CliError with the worker's words
 */
export async function runSql(reservation: Pick<Reservation, 'endpoint' | 'token'>, sql: string): Promise<SqlAnswer> {
  const { endpoint, token } = reservation;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(new URL('/query', endpoint), {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ sql }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    body = await response.json();
  } catch (cause) {
    throw new CliError('not-found', `${endpoint} does not answer POST /query`, {
      hint: '--sql is for pools whose workers speak SQL',
      cause,
    });
  }
  const refusal = refusalSchema.safeParse(body);
  if (refusal.success) throw new CliError(refusal.data.error.code, refusal.data.error.message.split('\n')[0] ?? '');
  const rows = rowsSchema.safeParse(body);
  if (!response.ok || !rows.success)
    throw new CliError('internal', `${endpoint} answered ${response.status} with something else than rows`);
  return { columns: rows.data.columns.map(({ name }) => name), rows: rows.data.rows };
}
