import type { Subscription } from './message-bus.ts';

/** One record of a journal as it is stored. */
export interface JournalMessage {
  readonly shard: string;
  /** Position in the whole stream; grows along every journal, with gaps. */
  readonly seq: number;
  /** The server's time stamp, ms since 1970: only its differences are used, and never for safety. */
  readonly timeMs: number;
  readonly data: Uint8Array;
}

export interface AppendOptions {
  /** The position of the record before, on this shard; 0 for the first. The append lands only where this is still the last. */
  readonly expectedSeq: number;
  /** The record replaces every record before it on this shard, in the same atomic write. */
  readonly rollup?: boolean;
  readonly timeoutMs: number;
}

export type AppendOutcome =
  | { readonly kind: 'stored'; readonly seq: number }
  /** Another record is last (NATS 10071): this copy did not land; an earlier copy of the same bytes may have. */
  | { readonly kind: 'conflict' }
  /** This copy did not land, and the chain is as it was: no responders, 10164, 10077. */
  | { readonly kind: 'not-stored'; readonly reason: 'no-responders' | 'in-flight' | 'limit'; readonly message: string }
  /** Time-out, disconnect, or an answer that says neither: it may have landed, now or later. */
  | { readonly kind: 'unknown'; readonly message: string };

export interface JournalFollower {
  /** Called for each record, in the order of the stream, from the first that is still stored. */
  message(message: JournalMessage): void;
  /** The stream is not what it was (its tail is lower: writes were lost). All records are given again from the start. */
  reset(reason: string): void;
  /** All that was stored when following began (or began again after a reset) has been given. */
  caughtUp(): void;
}

/**
 * The logs of all shards of one cluster, in one stream. Only `append` tells the truth: every read may be old
 * (no read of NATS is linearizable).
 */
export interface Journal {
  /** The largest record, bytes, headers allowed for. */
  readonly recordBytesMax: number;
  /** Compare-and-set on the last position of the shard. Never throws; never retries by itself. */
  append(shard: string, data: Uint8Array, options: AppendOptions): Promise<AppendOutcome>;
  /** The last record of the shard. @throws MusterError `journal-unavailable` */
  last(shard: string): Promise<JournalMessage | undefined>;
  /** The first record of the shard at `fromSeq` or after. @throws MusterError `journal-unavailable` */
  next(shard: string, fromSeq: number): Promise<JournalMessage | undefined>;
  /** Follows all shards with one consumer. Survives reconnects; ends by `unsubscribe`. */
  follow(follower: JournalFollower): Promise<Subscription>;
  /** Stores an immutable part of a snapshot. @throws MusterError `journal-unavailable` */
  putPart(shard: string, part: string, data: Uint8Array): Promise<void>;
  /** @throws MusterError `journal-unavailable` */
  getPart(shard: string, part: string): Promise<Uint8Array | undefined>;
  /** Harmless where it is gone. @throws MusterError `journal-unavailable` */
  deletePart(shard: string, part: string): Promise<void>;
  /** Names of the stored parts of the shard. @throws MusterError `journal-unavailable` */
  listParts(shard: string): Promise<readonly string[]>;
}
