// One replica's way to the journal, with what goes wrong on it: appends that fail in every way, reads that are old.
import {
  type AppendOptions,
  type AppendOutcome,
  FaultyJournal,
  type Journal,
  type JournalFollower,
  type JournalMessage,
  type ManualClock,
  MemoryJournal,
  type MemoryJournalServer,
  type Random,
  type Subscription,
} from '@muster/ports';
import { MusterError } from '@muster/protocol';
import type { Machine } from './machine.ts';
import { toStored, toWritten } from './record-version.ts';

/** Chances of one append, or read, while it lasts. */
export interface JournalTrouble {
  readonly acknowledgementLost: number;
  readonly lost: number;
  readonly late: number;
  readonly lateMs: number;
  readonly noResponders: number;
  readonly inFlight: number;
  /** A read that does not know the last record yet, and one that fails. */
  readonly staleRead: number;
  readonly failedRead: number;
}

export interface SimJournalOptions {
  readonly machine: Machine;
  readonly server: MemoryJournalServer;
  readonly world: ManualClock;
  readonly random: Random;
  /** The record version that this replica writes; it reads those up to it. */
  readonly version: number;
  readonly count: (kind: string) => void;
  readonly appending: (shard: string, data: Uint8Array) => void;
  readonly settled: (shard: string, outcome: AppendOutcome) => void;
  /** The one in force now. */
  readonly trouble: () => JournalTrouble | undefined;
}

export class SimJournal implements Journal {
  readonly #options: SimJournalOptions;
  readonly #memory: MemoryJournal;
  readonly #faulty: FaultyJournal;

  constructor(options: SimJournalOptions) {
    this.#options = options;
    this.#memory = new MemoryJournal({ bus: options.machine.bus, server: options.server });
    this.#faulty = new FaultyJournal(this.#memory, { clock: options.machine.clock });
  }

  get recordBytesMax(): number {
    return this.#memory.recordBytesMax;
  }

  async append(shard: string, written: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
    const outcome = await this.#append(shard, written, options);
    if (outcome.kind !== 'stored') this.#options.count(`append: ${outcome.kind}`);
    this.#options.settled(shard, outcome);
    return outcome;
  }

  #append(shard: string, written: Uint8Array, options: AppendOptions): Promise<AppendOutcome> {
    const { random, count, version } = this.#options;
    const data = toStored(written, version);
    this.#options.appending(shard, data);
    const trouble = this.#options.trouble();
    if (trouble === undefined) return this.#memory.append(shard, data, options);
    let chance = random.next();
    const isNow = (share: number): boolean => {
      chance -= share;
      return chance < 0;
    };
    if (isNow(trouble.acknowledgementLost)) {
      count('append stored, acknowledgement lost');
      this.#faulty.inject({ kind: 'acknowledgement-lost' });
    } else if (isNow(trouble.lost)) {
      count('append lost');
      this.#faulty.inject({ kind: 'lost' });
    } else if (isNow(trouble.late)) {
      count('append late');
      this.#land(shard, data, options, options.timeoutMs + random.next() * trouble.lateMs);
      this.#faulty.inject({ kind: 'lost' });
    } else if (isNow(trouble.noResponders)) {
      count('append without responders');
      this.#faulty.inject({ kind: 'not-stored', reason: 'no-responders' });
    } else if (isNow(trouble.inFlight)) {
      count('append refused, one is in flight');
      this.#faulty.inject({ kind: 'not-stored', reason: 'in-flight' });
    }
    return this.#faulty.append(shard, data, options);
  }

  /** On its way whatever becomes of its sender. */
  #land(shard: string, data: Uint8Array, options: AppendOptions, afterMs: number): void {
    const { world, server } = this.#options;
    world.setTimer(afterMs, () => void server.append(shard, data, options.expectedSeq, options.rollup === true));
  }

  async last(shard: string): Promise<JournalMessage | undefined> {
    const isStale = this.#readGoesWrong(shard);
    const message = await this.#memory.last(shard);
    if (!isStale) return this.#read(message);
    return this.#read(this.#options.server.records(shard).at(-2));
  }

  async next(shard: string, fromSeq: number): Promise<JournalMessage | undefined> {
    const isStale = this.#readGoesWrong(shard);
    const message = await this.#memory.next(shard, fromSeq);
    return isStale ? undefined : this.#read(message);
  }

  follow(follower: JournalFollower): Promise<Subscription> {
    return this.#memory.follow({
      message: (message) => follower.message(this.#read(message) ?? message),
      reset: (reason) => follower.reset(reason),
      caughtUp: () => follower.caughtUp(),
    });
  }

  putPart(shard: string, part: string, data: Uint8Array): Promise<void> {
    this.#readGoesWrong(shard);
    return this.#memory.putPart(shard, part, data);
  }
  async getPart(shard: string, part: string): Promise<Uint8Array | undefined> {
    const isStale = this.#readGoesWrong(shard);
    const data = await this.#memory.getPart(shard, part);
    return isStale ? undefined : data;
  }
  deletePart(shard: string, part: string): Promise<void> {
    return this.#memory.deletePart(shard, part);
  }
  listParts(shard: string): Promise<readonly string[]> {
    return this.#memory.listParts(shard);
  }

  #read(message: JournalMessage | undefined): JournalMessage | undefined {
    return message === undefined ? undefined : toWritten(message, this.#options.version);
  }

  /** @throws MusterError `journal-unavailable` */
  #readGoesWrong(shard: string): boolean {
    const trouble = this.#options.trouble();
    if (trouble === undefined) return false;
    const chance = this.#options.random.next();
    if (chance < trouble.failedRead) {
      this.#options.count('read failed');
      throw new MusterError('journal-unavailable', `${shard}: no answer`);
    }
    if (chance >= trouble.failedRead + trouble.staleRead) return false;
    this.#options.count('read old');
    return true;
  }
}
