// One round of load in one process: closed loop, open loop or a burst, on either target.
import type { Clock } from '@muster/ports';
import { LatencyHistogram } from '../measure/latency-histogram.ts';
import { Pace } from '../measure/pace.ts';
import { pause } from '../measure/pause.ts';
import { GrantLog } from './grant-log.ts';
import type { LoadResult, LoadShape } from './load-messages.ts';
import type { Held, LoadTarget } from './load-target.ts';

export interface LoadRoundOptions {
  readonly clock: Clock;
  readonly target: LoadTarget;
  readonly shape: LoadShape;
  /** One for each client. */
  readonly orgs: readonly string[];
  /** On the monotonic clock. */
  readonly startMs: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

const SAMPLES_MAX = 5;
/** After a miss or a failure, so that a client does not spin. */
const AFTER_TROUBLE_MS = 10;
/** Without a request under way from here on after the end: what still hangs is an error. */
const DRAIN_MS = 15_000;

export class LoadRound {
  readonly #options: LoadRoundOptions;
  readonly #fromMs: number;
  readonly #untilMs: number;
  readonly #cycle = new LatencyHistogram();
  readonly #reserve = new LatencyHistogram();
  readonly #release = new LatencyHistogram();
  readonly #late = new LatencyHistogram();
  readonly #grants = new GrantLog();
  readonly #errorSamples: string[] = [];
  #cycles = 0;
  #offered = 0;
  #misses = 0;
  #errors = 0;
  #allAnsweredMs = 0;

  constructor(options: LoadRoundOptions) {
    this.#options = options;
    this.#fromMs = options.startMs + options.warmUpMs;
    this.#untilMs = this.#fromMs + options.durationMs;
  }

  async run(): Promise<Omit<LoadResult, 'refusedReleases'>> {
    const { clock, shape, startMs } = this.#options;
    await pause(clock, startMs - clock.monotonicMs());
    const running = shape.kind === 'closed' ? this.#closed() : shape.kind === 'open' ? this.#open(shape) : this.#burst();
    const hung = pause(clock, this.#untilMs + DRAIN_MS - clock.monotonicMs()).then(() => 'hung' as const);
    if ((await Promise.race([running, hung])) === 'hung') this.#fail(new Error(`requests were under way ${DRAIN_MS} ms after the end`));
    return {
      cycles: this.#cycles,
      offered: this.#offered,
      cycle: this.#cycle.data(),
      reserve: this.#reserve.data(),
      release: this.#release.data(),
      late: this.#late.data(),
      allAnsweredMs: this.#allAnsweredMs,
      misses: this.#misses,
      errors: this.#errors,
      errorSamples: this.#errorSamples,
      grants: this.#grants.take(),
    };
  }

  async #closed(): Promise<void> {
    const { clock, orgs } = this.#options;
    await Promise.all(
      orgs.map(async (org) => {
        for (let nowMs = clock.monotonicMs(); nowMs < this.#untilMs; nowMs = clock.monotonicMs()) {
          if (this.#isMeasured(nowMs)) this.#offered += 1;
          if (!(await this.#once(org, nowMs))) await pause(clock, AFTER_TROUBLE_MS);
        }
      }),
    );
  }

  /** A request that is due while every client is busy waits for one; its latency counts from when it was due. */
  async #open(shape: Extract<LoadShape, { kind: 'open' }>): Promise<void> {
    const { clock, orgs, startMs } = this.#options;
    const pace = new Pace(shape.perSecond, startMs + shape.offsetMs);
    const free = [...orgs];
    const underWay = new Set<Promise<unknown>>();
    let n = 0;
    const send = (): void => {
      const nowMs = clock.monotonicMs();
      for (const dueBy = pace.dueBy(Math.min(nowMs, this.#untilMs)); n < dueBy && free.length > 0; n++) {
        const org = free.pop() as string;
        const dueMs = pace.dueMs(n);
        if (this.#isMeasured(dueMs)) {
          this.#offered += 1;
          this.#late.record(nowMs - dueMs);
        }
        const cycle = this.#once(org, dueMs).then(() => {
          free.push(org);
          underWay.delete(cycle);
          if (pace.dueMs(n) < clock.monotonicMs()) send();
        });
        underWay.add(cycle);
      }
    };
    while (clock.monotonicMs() < this.#untilMs) {
      send();
      await pause(clock, Math.max(1, pace.dueMs(n) - clock.monotonicMs()));
    }
    while (underWay.size > 0) await Promise.all(underWay);
  }

  async #burst(): Promise<void> {
    const { clock, orgs, target } = this.#options;
    const askedMs = clock.monotonicMs();
    this.#offered = orgs.length;
    const answers = await Promise.all(
      orgs.map(async (org) => {
        try {
          const held = await target.reserve(org);
          this.#reserve.record(clock.monotonicMs() - askedMs);
          if (held === undefined) this.#misses += 1;
          else return { held, row: this.#grants.granted(held.slot, held.epoch, clock.wallMs()) };
        } catch (error) {
          this.#fail(error);
        }
        return undefined;
      }),
    );
    this.#allAnsweredMs = clock.monotonicMs() - askedMs;
    await Promise.all(
      answers.map(async (answer) => {
        if (answer !== undefined && (await this.#tryRelease(answer.held, answer.row)) !== undefined) this.#cycles += 1;
      }),
    );
  }

  /** One reservation with its release. @returns false where there was none */
  async #once(org: string, fromMs: number): Promise<boolean> {
    const { clock, target } = this.#options;
    try {
      const held = await target.reserve(org);
      const grantedMs = clock.monotonicMs();
      if (held === undefined) {
        if (this.#isMeasured(grantedMs)) this.#misses += 1;
        return false;
      }
      const row = this.#grants.granted(held.slot, held.epoch, clock.wallMs());
      const releasedMs = await this.#tryRelease(held, row);
      if (releasedMs === undefined) return false;
      if (this.#isMeasured(releasedMs)) {
        this.#cycles += 1;
        this.#reserve.record(grantedMs - fromMs);
        this.#release.record(releasedMs - grantedMs);
        this.#cycle.record(releasedMs - fromMs);
      }
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  async #tryRelease(held: Held, row: number): Promise<number | undefined> {
    const { clock } = this.#options;
    this.#grants.releasing(row, clock.wallMs());
    try {
      await held.release();
      return clock.monotonicMs();
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #isMeasured(atMs: number): boolean {
    return atMs >= this.#fromMs && atMs < this.#untilMs;
  }

  #fail(error: unknown): void {
    this.#errors += 1;
    if (this.#errorSamples.length < SAMPLES_MAX) this.#errorSamples.push(error instanceof Error ? error.message : String(error));
  }
}
