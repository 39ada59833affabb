import { MusterError } from '@muster/protocol';
import type { HttpCaller } from '../http-caller.ts';

const TEXT_MAX = 4 * 1024;

/** `HttpCaller` on Node's fetch. Follows no redirect: a worker answers itself. */
export class FetchHttpCaller implements HttpCaller {
  async post(url: string, body: unknown, timeoutMs: number): Promise<{ readonly status: number; readonly text: string }> {
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), redirect: 'manual', signal });
      return { status: response.status, text: await readText(response) };
    } catch (cause) {
      if (signal.aborted) throw new MusterError('timeout', `${url} did not answer within ${timeoutMs} ms`, { cause });
      const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
      throw new MusterError('no-responders', `${url} cannot be reached: ${why}`, { cause });
    }
  }
}

/** A worker that answers with a flood is not read to the end. */
async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length >= TEXT_MAX) break;
  }
  return text.slice(0, TEXT_MAX);
}
