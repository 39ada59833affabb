// Who may ask a replica over HTTP.
//
//   G1. Without tokens it serves this machine alone, to callers that name this machine: a page in a browser that has its own
//       name pointed here (DNS rebinding) is refused.
//   G2. With tokens, everything but health and readiness wants one; they are compared in a time that says nothing of them.
import type { IncomingMessage } from 'node:http';
import { isSameToken, MusterError } from '@muster/protocol';

/** `write` may all that `read` may. */
export type HttpRole = 'read' | 'write';

export interface HttpToken {
  readonly role: HttpRole;
  /** Secret. */
  readonly token: string;
}

export interface HttpAccess {
  /** Several of a role, so that one can be changed for another while both are good. Empty: nobody is asked. */
  readonly tokens: readonly HttpToken[];
  /** `/metrics` wants no token. */
  readonly areMetricsOpen: boolean;
  /** Whoever reaches it may read, from wherever: its operator says that nobody else does. */
  readonly isOpen: boolean;
}

/** What the gate says no with; `status` where it is not the code's own. */
export class HttpRefusal extends MusterError {
  readonly status: number | undefined;

  constructor(message: string, status?: number) {
    super('unauthorized', message);
    this.status = status;
  }
}

const OPEN_PATHS = new Set(['/healthz', '/readyz']);
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;
const TOKEN_LENGTH_MIN = 16;

/** True for an address that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * A line for each token: `read <token>` or `write <token>`; lines that begin with # say nothing.
 * @throws MusterError `bad-request` that names the line, never what is in it
 */
export function parseHttpTokens(text: string): readonly HttpToken[] {
  const tokens = text
    .split('\n')
    .map((line, at) => ({ line: line.trim(), at: at + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
    .map(({ line, at }): HttpToken => {
      const [, role, token = ''] = /^(read|write)\s+(\S+)$/.exec(line) ?? [];
      if (role !== 'read' && role !== 'write') throw new MusterError('bad-request', `line ${at}: must be read or write, and a token`);
      if (token.length < TOKEN_LENGTH_MIN) {
        throw new MusterError('bad-request', `line ${at}: the token has fewer than ${TOKEN_LENGTH_MIN} characters`);
      }
      return { role, token };
    });
  if (tokens.length === 0) throw new MusterError('bad-request', 'there is no token in it');
  return tokens;
}

/** @throws HttpRefusal */
export function assertAllowed(access: HttpAccess, request: IncomingMessage, path: string): void {
  if (OPEN_PATHS.has(path)) return;
  const { tokens, areMetricsOpen, isOpen } = access;
  if (tokens.length === 0) {
    if (isOpen || LOOPBACK.test(request.headers.host ?? '')) return;
    throw new HttpRefusal('this replica serves its own machine alone: ask for localhost', 403);
  }
  if (path === '/metrics' && areMetricsOpen) return;
  const role = roleOf(tokens, request.headers.authorization);
  if (role === undefined) throw new HttpRefusal('a token is wanted: Authorization: Bearer <token>');
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead && role === 'read') throw new HttpRefusal('this token is for reading', 403);
}

/** Every token is compared, so that the time does not say which one was nearly right. */
function roleOf(tokens: readonly HttpToken[], authorization: string | undefined): HttpRole | undefined {
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) return undefined;
  let found: HttpRole | undefined;
  for (const { role, token } of tokens) {
    const isIt = isSameToken(given, token);
    if (isIt && found !== 'write') found = role;
  }
  return found;
}
