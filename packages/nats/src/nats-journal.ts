// The journal on one JetStream stream.
//
//   J1. `append` sends once. What came of it is read from the server's answer only; whatever is not a clear yes or no is
//       `unknown`.
//   J2. Reads go to the stream's leader, and may be old all the same.
import type { AppendOptions, AppendOutcome, Journal, JournalFollower, JournalMessage, Subscription } from '@muster/ports';
import { stores, subjects } from '@muster/protocol';
import { headers as makeHeaders } from '@nats-io/transport-node';
import { askJetStream, isRefusal, JETSTREAM_ERRORS, readAnswer, toUnavailable, tryJson } from './jetstream-api.ts';
import { JournalFeed } from './journal-feed.ts';
import type { NatsLink } from './nats-link.ts';

/** Kept free in a message for the headers of an append. */
const HEADER_BYTES = 512;
const PUT_TIMEOUT_MS = 5000;

interface StoredAnswer {
  readonly message: { readonly subject: string; readonly seq: number; readonly data?: string; readonly time: string };
}

/** All shards of one cluster, one subject each. */
export class NatsJournal implements Journal {
  readonly #link: NatsLink;
  readonly #cluster: string;
  readonly #stream: string;

  constructor(link: NatsLink, cluster: string) {
    this.#link = link;
    this.#cluster = cluster;
    this.#stream = stores.stream(cluster);
  }

  get recordBytesMax(): number {
    return this.#link.payloadBytesMax - HEADER_BYTES;
  }

  append(shard: string, data: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
    return this.appendTo(subjects.journal(this.#cluster, shard), data, options);
  }

  /** `append` on any subject of the stream; the start-up gate races on one of its own. */
  async appendTo(subject: string, data: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
    if (data.length > this.recordBytesMax) {
      return { kind: 'not-stored', reason: 'limit', message: `${data.length} bytes, the limit is ${this.recordBytesMax}` };
    }
    const headers = makeHeaders();
    headers.set('Nats-Expected-Last-Subject-Sequence', String(options.expectedSeq));
    if (options.rollup === true) headers.set('Nats-Rollup', 'sub');
    const exchange = await this.#link.exchange(subject, data, options.timeoutMs, headers);
    switch (exchange.kind) {
      case 'answer':
        return readOutcome(exchange.message.data);
      case 'no-responders':
        return { kind: 'not-stored', reason: 'no-responders', message: `no leader of the stream, or no stream, for ${subject}` };
      case 'unauthorized':
        return { kind: 'not-stored', reason: 'limit', message: `this NATS user may not publish on ${subject}` };
      case 'timeout':
        return { kind: 'unknown', message: `no answer in ${options.timeoutMs} ms` };
      case 'disconnected':
        return { kind: 'unknown', message: 'the link to NATS is down' };
    }
  }

  last(shard: string): Promise<JournalMessage | undefined> {
    return this.#get(shard, { last_by_subj: subjects.journal(this.#cluster, shard) });
  }

  next(shard: string, fromSeq: number): Promise<JournalMessage | undefined> {
    return this.#get(shard, { seq: Math.max(1, fromSeq), next_by_subj: subjects.journal(this.#cluster, shard) });
  }

  async follow(follower: JournalFollower): Promise<Subscription> {
    return new JournalFeed(this.#link, this.#cluster, follower);
  }

  async putPart(shard: string, part: string, data: Uint8Array): Promise<void> {
    const subject = subjects.part(this.#cluster, shard, part);
    try {
      readAnswer(subject, await this.#link.exchange(subject, data, PUT_TIMEOUT_MS));
    } catch (error) {
      throw toUnavailable(error);
    }
  }

  async getPart(shard: string, part: string): Promise<Uint8Array | undefined> {
    return (await this.#get(shard, { last_by_subj: subjects.part(this.#cluster, shard, part) }))?.data;
  }

  async deletePart(shard: string, part: string): Promise<void> {
    try {
      await askJetStream(this.#link, `STREAM.PURGE.${this.#stream}`, { filter: subjects.part(this.#cluster, shard, part) });
    } catch (error) {
      throw toUnavailable(error);
    }
  }

  async listParts(shard: string): Promise<readonly string[]> {
    const filter = subjects.part(this.#cluster, shard, '*');
    const prefixLength = filter.length - 1;
    const parts: string[] = [];
    try {
      for (;;) {
        const { state, total } = await askJetStream<{
          readonly state: { readonly subjects?: Readonly<Record<string, number>> };
          readonly total?: number;
        }>(this.#link, `STREAM.INFO.${this.#stream}`, { subjects_filter: filter, offset: parts.length });
        const page = Object.keys(state.subjects ?? {});
        for (const subject of page) parts.push(subject.slice(prefixLength));
        if (page.length === 0 || parts.length >= (total ?? 0)) return parts;
      }
    } catch (error) {
      throw toUnavailable(error);
    }
  }

  async #get(shard: string, query: object): Promise<JournalMessage | undefined> {
    try {
      const { message } = await askJetStream<StoredAnswer>(this.#link, `STREAM.MSG.GET.${this.#stream}`, query);
      const data = Buffer.from(message.data ?? '', 'base64');
      return { shard, seq: message.seq, timeMs: Date.parse(message.time), data };
    } catch (error) {
      if (isRefusal(error, JETSTREAM_ERRORS.noMessageFound)) return undefined;
      throw toUnavailable(error);
    }
  }
}

function readOutcome(data: Uint8Array): AppendOutcome {
  const answer: { seq?: unknown; error?: { err_code?: number; description?: string } } | undefined = tryJson(data);
  if (answer?.error !== undefined) {
    const message = answer.error.description ?? 'refused';
    switch (answer.error.err_code) {
      case JETSTREAM_ERRORS.wrongLastSequence:
        return { kind: 'conflict' };
      case JETSTREAM_ERRORS.writeInFlight:
        return { kind: 'not-stored', reason: 'in-flight', message };
      case JETSTREAM_ERRORS.storeFailed:
        return { kind: 'not-stored', reason: 'limit', message };
      default:
        return { kind: 'unknown', message: `${message} (${answer.error.err_code ?? 'no code'})` };
    }
  }
  if (typeof answer?.seq === 'number' && answer.seq > 0) return { kind: 'stored', seq: answer.seq };
  return { kind: 'unknown', message: 'an acknowledgement that cannot be read' };
}
