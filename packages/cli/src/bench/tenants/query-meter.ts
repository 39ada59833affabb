import { LatencyHistogram } from '../measure/latency-histogram.ts';

const SAMPLES_MAX = 10;

/** Counts the queries of all tenants: of the measured time, of the second that runs, and what went wrong at any time. */
export class QueryMeter {
  readonly latency = new LatencyHistogram();
  #lastSecond = new LatencyHistogram();
  #fromMs = Number.POSITIVE_INFINITY;
  #untilMs = Number.POSITIVE_INFINITY;
  #offered = 0;
  #skipped = 0;
  #done = 0;
  #doneBefore = 0;
  #errors = 0;
  readonly #samples: string[] = [];

  /** What is due or done from here on counts. */
  measureFrom(atMs: number): void {
    this.#fromMs = atMs;
  }

  measureUntil(atMs: number): void {
    this.#untilMs = atMs;
  }

  /** A query was due; it is not sent where too many of its tenant's are under way. */
  due(dueMs: number, isSkipped: boolean): void {
    if (!this.#isMeasured(dueMs)) return;
    this.#offered += 1;
    if (isSkipped) this.#skipped += 1;
  }

  done(dueMs: number, nowMs: number): void {
    this.#lastSecond.record(nowMs - dueMs);
    if (nowMs < this.#fromMs) this.#doneBefore += 1;
    else if (nowMs <= this.#untilMs) {
      this.#done += 1;
      this.latency.record(nowMs - dueMs);
    }
  }

  failed(what: string): void {
    this.#errors += 1;
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push(what);
  }

  get offered(): number {
    return this.#offered;
  }
  /** Of those offered: due while their tenant had as many under way as it may. */
  get skipped(): number {
    return this.#skipped;
  }
  /** Answered within the measured time. */
  get completed(): number {
    return this.#done;
  }
  /** Answered before it began. */
  get completedBefore(): number {
    return this.#doneBefore;
  }
  get errors(): number {
    return this.#errors;
  }
  get errorSamples(): readonly string[] {
    return this.#samples;
  }

  /** What was answered since the last call. */
  takeSecond(): LatencyHistogram {
    const taken = this.#lastSecond;
    this.#lastSecond = new LatencyHistogram();
    return taken;
  }

  #isMeasured(atMs: number): boolean {
    return atMs >= this.#fromMs && atMs < this.#untilMs;
  }
}
