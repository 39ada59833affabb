// Hello, beat, and the end of a worker that nobody knows any more.
//
// Owns: the hello until it is answered, the beats, and how long no replica has answered. Does not own: what is in a beat.
// Invariants:
//   P1. Nothing here waits for the worker's work: beats are sent from timers alone, with what is true at that moment.
//   P2. One hello at a time, repeated with backoff until a replica says welcome or stop.
//   P3. A worker that serves a tenant neither asks nor counts: whatever happens to NATS, it goes on serving.
//   P4. Silence is time in which this process was running and asking: having been paused for long is no silence.
import type { Subscription, Timer } from '@muster/ports';
import { decodeAs, encode, type HelloAnswer, helloAnswerSchema, isMusterError, subjects, type WorkerBeat } from '@muster/protocol';
import type { WorkerOptions, WorkerTimings } from './options.ts';

export interface PresenceOptions extends Pick<WorkerOptions, 'bus' | 'clock' | 'random' | 'logger' | 'identity'> {
  readonly timings: WorkerTimings;
  beat(): WorkerBeat;
  /** No reservation is served and no command runs. */
  isIdle(): boolean;
  /** A replica says stop, or none has answered for too long. */
  onStop(reason: string): void;
}

const BEAT_MS_MIN = 100;
const BEAT_MS_MAX = 60_000;
const AGAIN_MS_MIN = 50;
const AGAIN_MS_MAX = 30_000;
/** A worker that finds its link again says hello within this, spread, since all its neighbours do too. */
const RECONNECT_SPREAD_MS = 2_000;

export class Presence {
  readonly #options: PresenceOptions;
  #helloTimer: Timer | undefined;
  #beatTimer: Timer | undefined;
  #status: Subscription | undefined;
  #isAsking = false;
  #isWelcome = false;
  #isStopped = false;
  #beatMs = 0;
  #failures = 0;
  #silentMs = 0;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  start(): void {
    this.#status = this.#options.bus.onStatus((status) => {
      if (status === 'connected') this.#helloIn(this.#options.random.next() * RECONNECT_SPREAD_MS);
    });
    this.#helloIn(0);
  }

  /** Sends nothing afterwards. */
  stop(): void {
    this.#isStopped = true;
    this.#helloTimer?.cancel();
    this.#beatTimer?.cancel();
    this.#status?.unsubscribe();
  }

  /** A replica was heard. */
  contact(): void {
    this.#silentMs = 0;
  }

  #helloIn(delayMs: number): void {
    if (this.#isStopped || this.#isAsking) return;
    this.#helloTimer?.cancel();
    this.#helloTimer = this.#options.clock.setTimer(delayMs, () => void this.#hello());
  }

  async #hello(): Promise<void> {
    const { bus, clock, identity, timings } = this.#options;
    if (this.#isWelcome && !this.#options.isIdle()) {
      this.contact();
      this.#helloIn(this.#jittered(timings.helloEveryMs));
      return;
    }
    const askedMs = clock.monotonicMs();
    this.#isAsking = true;
    let answer: HelloAnswer | undefined;
    try {
      const reply = await bus.request(subjects.workerHello(identity.shard, identity.slot), encode(this.#options.beat()), {
        timeoutMs: timings.helloTimeoutMs,
      });
      answer = decodeAs(helloAnswerSchema, reply.data);
    } catch (error) {
      this.#options.logger.debug({ code: isMusterError(error) ? error.code : 'internal', error: String(error) }, 'hello was not answered');
    }
    this.#isAsking = false;
    if (this.#isStopped) return;
    if (answer === undefined) this.#unanswered(Math.min(clock.monotonicMs() - askedMs, 2 * timings.helloTimeoutMs));
    else this.#answered(answer);
  }

  #answered(answer: HelloAnswer): void {
    const { logger, timings } = this.#options;
    this.contact();
    this.#failures = 0;
    switch (answer.type) {
      case 'welcome':
        if (!this.#isWelcome) logger.info({ beatMs: answer.beatMs }, 'worker is welcome');
        this.#isWelcome = true;
        this.#beatMs = clamp(answer.beatMs, BEAT_MS_MIN, BEAT_MS_MAX);
        if (this.#beatTimer === undefined) this.#beatIn(this.#options.random.next() * this.#beatMs);
        this.#helloIn(this.#jittered(timings.helloEveryMs));
        return;
      case 'again':
        this.#helloIn(this.#jittered(clamp(answer.afterMs, AGAIN_MS_MIN, AGAIN_MS_MAX)));
        return;
      case 'stop':
        this.#options.onStop(`told to stop: ${answer.reason}`);
    }
  }

  #unanswered(tookMs: number): void {
    const { timings } = this.#options;
    this.#failures += 1;
    const delayMs = this.#jittered(Math.min(timings.helloBackoffMinMs * 2 ** Math.min(this.#failures - 1, 16), timings.helloBackoffMaxMs));
    // What the timers meant to wait, not what they waited (P4).
    if (this.#options.isIdle()) this.#silentMs += tookMs + delayMs;
    else this.#silentMs = 0;
    if (this.#silentMs >= timings.orphanAfterMs) this.#options.onStop(`no replica answered for ${timings.orphanAfterMs} ms`);
    else this.#helloIn(delayMs);
  }

  #beatIn(delayMs: number): void {
    if (this.#isStopped) return;
    this.#beatTimer = this.#options.clock.setTimer(delayMs, () => {
      const { bus, identity } = this.#options;
      // A beat that cannot be sent is a beat that is not heard; the next one follows.
      if (bus.isConnected) bus.publish(subjects.workerBeat(identity.shard, identity.slot), encode(this.#options.beat()));
      this.#beatIn(this.#jittered(this.#beatMs));
    });
  }

  #jittered(ms: number): number {
    return ms * (0.8 + 0.4 * this.#options.random.next());
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
