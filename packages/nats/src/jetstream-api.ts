// JetStream's API over the link, as far as the journal needs it: plain requests, so that a broken link is noticed at once
// and every answer is read in one place.
import { encode, MusterError } from '@muster/protocol';
import type { NatsLink } from './nats-link.ts';

/** A stream without a leader does not answer at all; whoever asks again may find one. */
const API_TIMEOUT_MS = 2000;
const decoder = new TextDecoder();
const NOTHING = new Uint8Array(0);

/** The server's `err_code`s that mean something to us. */
export const JETSTREAM_ERRORS = {
  /** Fewer servers are there than copies are wanted. */
  noSuitablePeers: 10005,
  /** JetStream is starting, or has no leader. */
  notAvailable: 10008,
  consumerNotFound: 10014,
  noMessageFound: 10037,
  notEnabledForAccount: 10039,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  /** With those of another stream. */
  subjectsOverlap: 10065,
  wrongLastSequence: 10071,
  storeFailed: 10077,
  notEnabled: 10076,
  /** Another write on the subject is being decided (clusters, 2.11 and later). */
  writeInFlight: 10164,
} as const;

interface ApiAnswer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

/** An answer of JetStream that says no. */
export class JetStreamRefusal extends Error {
  readonly errCode: number;

  constructor(subject: string, error: NonNullable<ApiAnswer['error']>) {
    super(`${subject}: ${error.description ?? 'refused'} (${error.err_code ?? error.code})`);
    this.name = 'JetStreamRefusal';
    this.errCode = error.err_code ?? 0;
  }
}

/** JetStream said no, with this `err_code`. */
export function isRefusal(error: unknown, errCode: number): boolean {
  return error instanceof JetStreamRefusal && error.errCode === errCode;
}

/**
 * Asks `$JS.API.<what>`.
 * @throws JetStreamRefusal where the server says no; MusterError `journal-unavailable` where nothing came back
 */
export async function askJetStream<T>(
  link: Pick<NatsLink, 'exchange'>,
  what: string,
  body?: object,
  timeoutMs = API_TIMEOUT_MS,
): Promise<T> {
  const subject = `$JS.API.${what}`;
  return readAnswer<T>(subject, await link.exchange(subject, body === undefined ? NOTHING : encode(body), timeoutMs));
}

/** The JSON of an answer of JetStream. @throws as `askJetStream` */
export function readAnswer<T>(subject: string, exchange: Awaited<ReturnType<NatsLink['exchange']>>): T {
  if (exchange.kind === 'no-responders') {
    throw new MusterError('journal-unavailable', `${subject}: nobody answers; JetStream is off for this account, or has no leader`);
  }
  if (exchange.kind === 'unauthorized') throw new MusterError('unauthorized', `${subject}: this NATS user may not ask that`);
  if (exchange.kind !== 'answer') throw new MusterError('journal-unavailable', `${subject}: ${exchange.kind}`);
  const answer = tryJson(exchange.message.data) as (T & ApiAnswer) | undefined;
  if (answer === undefined) throw new MusterError('journal-unavailable', `${subject}: an answer that is not JSON`);
  if (answer.error !== undefined) throw new JetStreamRefusal(subject, answer.error);
  return answer;
}

/** Undefined where it is no JSON object. */
export function tryJson(data: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(decoder.decode(data));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Refusals that mean nothing but trouble, as the port wants them. */
export function toUnavailable(error: unknown): MusterError {
  return error instanceof MusterError ? error : new MusterError('journal-unavailable', String(error), { cause: error });
}
