// One reserve request on its way to an answer.
//
// Owns: the request's repeats and its deadline. Does not own: the reservation that comes out of it.
// Invariants:
//   P1. Every message of one request carries the same request id and the same activation, so that however many arrive,
//       wherever, there is one reservation.
//   P2. While unanswered it is repeated every 2 s on top of what is pending: a waiter that nobody repeats loses its place.
//   P3. A request given up (signal, deadline) is cancelled, whatever it has become.
//   P4. A copy that was late may be granted after another one was refused. Where the id is the client's own nobody can come
//       back for that grant, so it is released; where the caller gave the id it is the caller's, under that id.
import type { Clock, Logger, Timer } from '@muster/ports';
import { MusterError, type ReserveAnswer } from '@muster/protocol';
import type { ShardCommandInput, ShardLink, ShardReply } from './shard-link.ts';

const REPEAT_MS = 2_000;
/** How long a cancel or a release is tried. Unheard, the lease (or the 5 s of an untouched waiter) ends what is left. */
const CLEAN_UP_MS = 10_000;

export interface PendingReserveOptions {
  readonly shard: string;
  readonly org: string;
  readonly requestId: string;
  readonly isIdGiven: boolean;
  readonly waitMs: number;
  readonly ttlMs: number | undefined;
  readonly activation: Readonly<Record<string, unknown>> | undefined;
  /** When the request was made and when it is given up, on the monotonic clock. */
  readonly startedMs: number;
  readonly untilMs: number;
  readonly signal: AbortSignal | undefined;
  /** Given what has to be done when the request is over; it never rejects. */
  readonly inBackground: (work: Promise<void>) => void;
}

export class PendingReserve {
  readonly #link: ShardLink;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: PendingReserveOptions;
  readonly #result = Promise.withResolvers<ReserveAnswer>();
  readonly #deadline: Timer;
  #next: { readonly atMs: number; readonly timer: Timer } | undefined;
  #isSettled = false;
  #isRefused = false;
  #failures = 0;
  #highestEpoch = 0;
  #stale: ReserveAnswer | undefined;
  #why = 'no answer';

  constructor(link: ShardLink, clock: Clock, logger: Logger, options: PendingReserveOptions) {
    this.#link = link;
    this.#clock = clock;
    this.#logger = logger;
    this.#options = options;
    this.#deadline = clock.setTimer(Math.max(0, options.untilMs - clock.monotonicMs()), () => this.#expire());
    options.signal?.addEventListener('abort', this.#abort, { once: true });
    this.#send();
  }

  /** @throws MusterError `timeout`, or what a message could not be sent for; the signal's reason */
  get answer(): Promise<ReserveAnswer> {
    return this.#result.promise;
  }

  #send(): void {
    const nowMs = this.#clock.monotonicMs();
    const { shard, untilMs, requestId } = this.#options;
    this.#sendAgainIn(REPEAT_MS);
    this.#link.send(shard, this.#body(nowMs), Math.max(1, untilMs - nowMs), requestId).then(
      (reply) => this.#take(reply),
      (error: unknown) => this.#settle(() => this.#result.reject(error)),
    );
  }

  #body(nowMs: number): ShardCommandInput {
    const { org, requestId, isIdGiven, waitMs, ttlMs, activation, startedMs } = this.#options;
    return {
      type: 'reserve',
      org,
      requestId,
      isIdGiven,
      waitMs,
      waitedMs: Math.min(waitMs, Math.floor(nowMs - startedMs)),
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(activation === undefined ? {} : { activation }),
    };
  }

  #take(reply: ShardReply): void {
    if (this.#isSettled) return this.#tooLate(reply);
    const isOld = reply.epoch < this.#highestEpoch;
    this.#highestEpoch = Math.max(this.#highestEpoch, reply.epoch);
    if (reply.kind === 'again') {
      this.#why = reply.why;
      this.#retry();
      return;
    }
    const answer: ReserveAnswer = reply.kind === 'answer' ? (reply.answer as ReserveAnswer) : { ok: false, error: reply.error };
    const isStopping = !answer.ok && 'miss' in answer && answer.miss.reason === 'shutting-down';
    if (!isOld && !isStopping) {
      this.#resolve(answer);
      return;
    }
    this.#stale = answer;
    this.#retry();
  }

  #retry(): void {
    this.#sendAgainIn(this.#link.backoffMs(this.#failures++));
  }

  /** One timer for the next message: what is due sooner stays. */
  #sendAgainIn(delayMs: number): void {
    const atMs = this.#clock.monotonicMs() + delayMs;
    if (this.#next !== undefined && this.#next.atMs <= atMs) return;
    this.#next?.timer.cancel();
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#next = undefined;
      this.#send();
    });
    this.#next = { atMs, timer };
  }

  readonly #abort = (): void => {
    this.#giveUp(() => this.#result.reject(this.#options.signal?.reason));
  };

  #expire(): void {
    const { shard, org, untilMs, startedMs } = this.#options;
    const stale = this.#stale;
    if (stale !== undefined) this.#resolve(stale);
    else {
      const waitedMs = Math.round(untilMs - startedMs);
      const error = new MusterError('timeout', `reserve for ${org} on shard ${shard} was not answered in ${waitedMs} ms: ${this.#why}`);
      this.#giveUp(() => this.#result.reject(error));
    }
  }

  #giveUp(finish: () => void): void {
    if (this.#isSettled) return;
    this.#settle(finish);
    const { org, requestId } = this.#options;
    this.#cleanUp({ type: 'cancel', org, requestId });
  }

  /** What comes after the request was settled. */
  #tooLate(reply: ShardReply): void {
    if (!this.#isRefused || this.#options.isIdGiven || reply.kind !== 'answer') return;
    const answer = reply.answer as ReserveAnswer;
    if (!answer.ok) return;
    const { id, epoch } = answer.reservation;
    this.#cleanUp({ type: 'release', reservations: [{ id, epoch }] });
  }

  #cleanUp(command: ShardCommandInput): void {
    const { shard, org, inBackground } = this.#options;
    const untilMs = this.#clock.monotonicMs() + CLEAN_UP_MS;
    const asking = this.#link.ask(shard, command, { untilMs }).then(
      () => undefined,
      (error: unknown) =>
        this.#logger.warn({ error, shard, org, command: command.type }, 'could not take a request back; the lease ends what is left'),
    );
    inBackground(asking);
  }

  #resolve(answer: ReserveAnswer): void {
    this.#isRefused = !answer.ok;
    this.#settle(() => this.#result.resolve(answer));
  }

  #settle(finish: () => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#deadline.cancel();
    this.#next?.timer.cancel();
    this.#options.signal?.removeEventListener('abort', this.#abort);
    finish();
  }
}
