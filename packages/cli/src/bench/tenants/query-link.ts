import { Agent, type IncomingMessage, request } from 'node:http';
import type { Reservation } from '@muster/client';
import { CliError } from '../../exit.ts';

const TIMEOUT_MS = 30_000;

/**
 * One tenant's way to its worker: HTTP on connections that are kept. `node:http` instead of `fetch`: 140 against 350 µs of
 * processor time a call (Node 24, loopback), and the load shares the machine with what it measures.
 */
export class QueryLink {
  readonly #agent: Agent;
  readonly #target: { readonly host: string; readonly port: string; readonly authorization: string };

  /** @param inFlightMax queries at once: connections */
  constructor({ endpoint, token }: Pick<Reservation, 'endpoint' | 'token'>, inFlightMax: number) {
    const { hostname, port } = new URL(endpoint);
    this.#target = { host: hostname.replace(/^\[|\]$/g, ''), port, authorization: `Bearer ${token}` };
    this.#agent = new Agent({ keepAlive: true, maxSockets: inFlightMax });
  }

  /**
   * Runs one statement and gives its rows.
   * @throws CliError with the worker's words, or what became of the connection
   */
  async query(sql: string, params?: readonly number[]): Promise<readonly (readonly unknown[])[]> {
    const body = JSON.stringify(params === undefined || params.length === 0 ? { sql } : { sql, params });
    const { status, text } = await this.#post(body);
    const answer = tryJson(text);
    if (status === 200 && answer?.ok === true && Array.isArray(answer.rows)) return answer.rows;
    const { code, message } = answer?.error ?? { code: 'internal', message: text.slice(0, 200) };
    throw new CliError(code, `${status} ${code}: ${message.split('\n')[0] ?? ''}`);
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(body: string): Promise<{ readonly status: number; readonly text: string }> {
    const { host, port, authorization } = this.#target;
    const headers = { authorization, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const sent = request({ agent: this.#agent, host, port, path: '/query', method: 'POST', headers, timeout: TIMEOUT_MS });
      sent.once('response', (response) => {
        readText(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject);
      });
      sent.once('timeout', () => sent.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
      sent.once('error', reject);
      sent.end(body);
    });
  }
}

interface Answer {
  readonly ok?: boolean;
  readonly rows?: readonly (readonly unknown[])[];
  readonly error?: { readonly code: string; readonly message: string };
}

function readText(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      text += part;
    });
    response.once('end', () => resolve(text));
    response.once('error', reject);
    response.once('aborted', () => reject(new Error('the worker cut the answer off')));
  });
}

function tryJson(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return undefined;
  }
}
