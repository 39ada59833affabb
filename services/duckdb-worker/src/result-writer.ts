// A result as the body of a response, written while it is read.
//
// Invariants:
//   R1. Memory does not grow with the result: what the caller has not taken stops the reading.
//   R2. A body that can be parsed is complete. What fails before the first byte has left is answered with its status; what
//       fails later is written behind the rows, where it makes the body invalid, and the connection is cut.
import type { ServerResponse } from 'node:http';
import { toHttpError } from './http-errors.ts';
import type { Interruption } from './interruption.ts';
import type { StatementResult } from './session.ts';

/** Characters collected before they are sent; a smaller result is sent in one piece, with its length. */
const PIECE_CHARS = 64 * 1024;
const HEADERS = { 'content-type': 'application/json; charset=utf-8' } as const;

/**
 * Writes `{columns, rows, rowCount, rowsChanged?, ok: true}`.
 * @throws what the reading throws, as long as nothing was sent; afterwards see R2
 */
export async function writeResult(response: ServerResponse, result: StatementResult, interruption: Interruption): Promise<void> {
  try {
    let text = `{"columns":${JSON.stringify(result.columns)},"rows":[`;
    let rows = 0;
    for await (const chunk of result.chunks()) {
      for (const row of chunk) {
        text += rows === 0 ? row : `,${row}`;
        rows += 1;
        if (text.length < PIECE_CHARS) continue;
        if (!response.headersSent) response.writeHead(200, HEADERS);
        const isTaken = response.write(text);
        text = '';
        if (!isTaken) await interruption.race(new Promise((resolve) => response.once('drain', resolve)));
      }
    }
    const changed = result.rowsChanged === undefined ? '' : `,"rowsChanged":${result.rowsChanged}`;
    text += `],"rowCount":${rows}${changed},"ok":true}`;
    if (!response.headersSent) response.writeHead(200, { ...HEADERS, 'content-length': Buffer.byteLength(text) });
    response.end(text);
  } catch (error) {
    if (!response.headersSent) throw error;
    // A caller that does not read would keep the last words waiting, and the connection with them.
    if (response.writableNeedDrain) response.destroy();
    else response.write(`\n${toHttpError(error).body}`, () => response.destroy());
  }
}
