// Following the journals: one ordered push consumer over all of them, made anew whenever it may have missed something.
//
// Owns: the consumer on the server, and how far the follower has been given the stream.
//   F1. The follower gets each record once, in the order of the stream, without a gap in what is stored.
//   F2. A gap in the consumer's own count, a reconnect, or silence makes a new consumer from the next position on.
//   F3. Before a new consumer, the stream is looked at: where it is another one, or ends before what was given, writes were
//       lost, and the follower is told (`reset`) and given everything again. One look is not believed: a leader that
//       was paused may answer with an old state.
//   F4. Silence is counted in ticks that ran, not in time: a process that was stopped is not a stream that stalled.
//   F5. Flow control bounds what is on its way; the follower's turn ends before the next record is read.
//   F6. The follower has caught up when it has the last record that the stream's leader had. What the consumer says is left
//       does not count: it may be made on a copy that is behind.
import type { JournalFollower, Subscription, Timer } from '@muster/ports';
import { stores, subjects } from '@muster/protocol';
import type { Msg } from '@nats-io/transport-node';
import { askJetStream, isRefusal, JETSTREAM_ERRORS } from './jetstream-api.ts';
import type { NatsLink } from './nats-link.ts';

const HEARTBEAT_MS = 2000;
/** Silent ticks of HEARTBEAT_MS before the consumer counts as stalled. */
const SILENT_TICKS_MAX = 3;
/** How long the server keeps a consumer that nobody listens to. */
const INACTIVE_MS = 10_000;
const RETRY_MIN_MS = 200;
const RETRY_SPREAD_MS = 400;
const NOTHING = new Uint8Array(0);

/** What following needs of the link. */
export type FeedLink = Pick<
  NatsLink,
  'isConnected' | 'publish' | 'exchange' | 'subscribe' | 'onStatus' | 'makeInbox' | 'clock' | 'random' | 'logger'
>;

interface StreamInfo {
  readonly created: string;
  readonly state: { readonly last_seq: number };
}
/** One consumer, from its making until it is given up. */
interface Attachment {
  readonly consumer: string;
  readonly subscription: Subscription;
  consumerSeq: number;
}

export class JournalFeed implements Subscription {
  readonly #link: FeedLink;
  readonly #follower: JournalFollower;
  readonly #stream: string;
  readonly #filter: string;
  readonly #prefixLength: number;
  readonly #status: Subscription;
  #tick: Timer;
  #retry: Timer | undefined;
  #isEnded = false;
  /** Counts attempts; an attempt that is no longer the latest gives up at its next step. */
  #attempt = 0;
  #attachment: Attachment | undefined;
  #silentTicks = 0;
  #seenSeq = 0;
  #createdMs: number | undefined;
  #isLossSuspected = false;
  /** Until this position has been given, the follower has not caught up; undefined once it has been told that it has. */
  #caughtUpAt: number | undefined;
  #isTroubled = false;

  constructor(link: FeedLink, cluster: string, follower: JournalFollower) {
    this.#link = link;
    this.#follower = follower;
    this.#stream = stores.stream(cluster);
    this.#filter = subjects.journals(cluster);
    this.#prefixLength = this.#filter.length - 1;
    this.#status = link.onStatus((status) => {
      if (status === 'connected') void this.#attach();
      else this.#detach();
    });
    this.#tick = this.#setTick();
    void this.#attach();
  }

  unsubscribe(): void {
    this.#isEnded = true;
    this.#tick.cancel();
    this.#status.unsubscribe();
    this.#detach();
  }

  #detach(): void {
    this.#attempt += 1;
    this.#retry?.cancel();
    const attachment = this.#attachment;
    this.#attachment = undefined;
    if (attachment === undefined) return;
    attachment.subscription.unsubscribe();
    // Where this is lost, the server forgets the consumer by itself.
    if (this.#link.isConnected) this.#link.publish(`$JS.API.CONSUMER.DELETE.${this.#stream}.${attachment.consumer}`, NOTHING);
  }

  async #attach(): Promise<void> {
    this.#detach();
    const attempt = this.#attempt;
    if (this.#isEnded || !this.#link.isConnected) return;
    try {
      const stream = await askJetStream<StreamInfo>(this.#link, `STREAM.INFO.${this.#stream}`);
      if (attempt !== this.#attempt || !this.#isTrusted(stream)) return;
      if (this.#caughtUpAt !== undefined) this.#caughtUpAt = await this.#lastRecordSeq();
      if (attempt !== this.#attempt) return;
      await this.#consume(attempt);
      this.#isTroubled = false;
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (!this.#isTroubled && this.#link.isConnected)
        this.#link.logger.warn({ stream: this.#stream, error }, 'cannot follow the journals');
      this.#isTroubled = true;
      this.#attachLater();
    }
  }

  /** False where the stream is to be looked at again before it is believed. */
  #isTrusted({ created, state }: StreamInfo): boolean {
    const createdMs = Date.parse(created);
    const isOther = this.#createdMs !== undefined && this.#createdMs !== createdMs;
    const isShorter = state.last_seq < this.#seenSeq;
    if (!isOther && !isShorter) {
      this.#isLossSuspected = false;
      if (this.#createdMs === undefined) this.#caughtUpAt = state.last_seq;
      this.#createdMs = createdMs;
      return true;
    }
    if (!this.#isLossSuspected) {
      this.#isLossSuspected = true;
      this.#attachLater();
      return false;
    }
    const reason = isOther
      ? `the stream was made anew at ${created}`
      : `the stream ends at ${state.last_seq}, but ${this.#seenSeq} was followed`;
    this.#isLossSuspected = false;
    this.#createdMs = createdMs;
    this.#seenSeq = 0;
    this.#caughtUpAt = state.last_seq;
    this.#follower.reset(reason);
    return !this.#isEnded;
  }

  /** Of the leader, for the stream's own last message may be no record; 0 where there is none. */
  async #lastRecordSeq(): Promise<number> {
    try {
      const query = { last_by_subj: this.#filter };
      const { message } = await askJetStream<{ readonly message: { readonly seq: number } }>(
        this.#link,
        `STREAM.MSG.GET.${this.#stream}`,
        query,
      );
      return message.seq;
    } catch (error) {
      if (isRefusal(error, JETSTREAM_ERRORS.noMessageFound)) return 0;
      throw error;
    }
  }

  async #consume(attempt: number): Promise<void> {
    const consumer = `muster-${this.#link.random.id(20)}`;
    const inbox = this.#link.makeInbox();
    const attachment: Attachment = {
      consumer,
      subscription: this.#link.subscribe(inbox, (message) => this.#onMessage(attachment, message)),
      consumerSeq: 0,
    };
    this.#attachment = attachment;
    this.#silentTicks = 0;
    await askJetStream(this.#link, `CONSUMER.CREATE.${this.#stream}.${consumer}.${this.#filter}`, {
      stream_name: this.#stream,
      config: {
        name: consumer,
        deliver_subject: inbox,
        deliver_policy: 'by_start_sequence',
        opt_start_seq: this.#seenSeq + 1,
        filter_subject: this.#filter,
        ack_policy: 'none',
        replay_policy: 'instant',
        flow_control: true,
        idle_heartbeat: HEARTBEAT_MS * 1e6,
        inactive_threshold: INACTIVE_MS * 1e6,
        mem_storage: true,
        num_replicas: 1,
      },
    });
    if (attempt !== this.#attempt) return;
    this.#tellIfCaughtUp();
  }

  #onMessage(attachment: Attachment, message: Msg): void {
    if (attachment !== this.#attachment) return;
    this.#silentTicks = 0;
    if (message.data.length === 0 && (message.headers?.code ?? 0) > 0) this.#onControl(attachment, message);
    else this.#onRecord(attachment, message);
  }

  #onRecord(attachment: Attachment, message: Msg): void {
    const delivery = parseDelivery(message.reply ?? '');
    if (delivery.consumerSeq !== attachment.consumerSeq + 1) {
      void this.#attach();
      return;
    }
    attachment.consumerSeq = delivery.consumerSeq;
    const { seq, timeMs } = delivery;
    if (seq <= this.#seenSeq) return;
    this.#seenSeq = seq;
    try {
      this.#follower.message({ shard: message.subject.slice(this.#prefixLength), seq, timeMs, data: message.data });
    } finally {
      this.#tellIfCaughtUp();
    }
  }

  /** Idle heartbeats and flow control; anything else means that the consumer is gone. */
  #onControl(attachment: Attachment, message: Msg): void {
    if (message.headers?.code !== 100) {
      void this.#attach();
      return;
    }
    const resume = message.reply || message.headers.get('Nats-Consumer-Stalled');
    if (resume !== '') this.#link.publish(resume, NOTHING);
    const lastConsumerSeq = message.headers.get('Nats-Last-Consumer');
    if (lastConsumerSeq === '') return;
    // Idle and not caught up: this copy is behind, or what was last is gone.
    const isIdle = resume === '';
    if (Number(lastConsumerSeq) !== attachment.consumerSeq || (isIdle && this.#caughtUpAt !== undefined)) void this.#attach();
  }

  #tellIfCaughtUp(): void {
    if (this.#caughtUpAt === undefined || this.#seenSeq < this.#caughtUpAt || this.#isEnded) return;
    this.#caughtUpAt = undefined;
    this.#follower.caughtUp();
  }

  #setTick(): Timer {
    return this.#link.clock.setTimer(HEARTBEAT_MS, () => {
      this.#tick = this.#setTick();
      if (this.#attachment === undefined) return;
      this.#silentTicks += 1;
      if (this.#silentTicks < SILENT_TICKS_MAX) return;
      this.#link.logger.warn({ stream: this.#stream, seq: this.#seenSeq }, 'the journals fell silent, following anew');
      void this.#attach();
    });
  }

  #attachLater(): void {
    this.#detach();
    const delayMs = RETRY_MIN_MS + this.#link.random.next() * RETRY_SPREAD_MS;
    this.#retry = this.#link.clock.setTimer(delayMs, () => void this.#attach());
  }
}

/** The reply subject of a delivery: `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<times>.<seq>.<consumer seq>.<ns>.<pending>`. */
function parseDelivery(reply: string): { seq: number; consumerSeq: number; timeMs: number } {
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 5 : 7;
  return {
    seq: Number(tokens[at]),
    consumerSeq: Number(tokens[at + 1]),
    timeMs: Number(tokens[at + 2]) / 1e6,
  };
}
