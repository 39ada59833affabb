// Latencies in a fixed amount of memory, however many there are: buckets that grow by 1 % each, from 1 µs to 20 minutes.
const FIRST_MS = 0.001;
const GROWTH = 1.01;
const LOG_GROWTH = Math.log(GROWTH);
const BUCKETS = 2_100;

/** A histogram as it goes from process to process: filled buckets only. */
export interface HistogramData {
  readonly buckets: readonly (readonly [index: number, count: number])[];
  readonly maxMs: number;
}

/** Counts latencies; percentiles are right to 1 %. */
export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  static of(data: HistogramData): LatencyHistogram {
    const histogram = new LatencyHistogram();
    histogram.add(data);
    return histogram;
  }

  get count(): number {
    return this.#count;
  }

  record(ms: number): void {
    this.#raise(bucketOf(ms), 1);
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** Adds what another one, perhaps of another process, has counted. */
  add(data: HistogramData): void {
    for (const [index, count] of data.buckets) this.#raise(index, count);
    this.#maxMs = Math.max(this.#maxMs, data.maxMs);
  }

  /** The latency that this share (0 to 1) of all stays at or below, ms; null where nothing was counted. */
  percentileMs(share: number): number | null {
    if (this.#count === 0) return null;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    if (rank >= this.#count) return rounded(this.#maxMs);
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.#counts[index] ?? 0;
      if (seen >= rank) return rounded(Math.min(this.#maxMs, FIRST_MS * GROWTH ** (index + 0.5)));
    }
    return rounded(this.#maxMs);
  }

  data(): HistogramData {
    const buckets: (readonly [number, number])[] = [];
    for (let index = 0; index < BUCKETS; index++) {
      const count = this.#counts[index] ?? 0;
      if (count > 0) buckets.push([index, count]);
    }
    return { buckets, maxMs: this.#maxMs };
  }

  #raise(index: number, by: number): void {
    this.#counts[index] = (this.#counts[index] ?? 0) + by;
    this.#count += by;
  }
}

function bucketOf(ms: number): number {
  if (!(ms > FIRST_MS)) return 0;
  return Math.min(BUCKETS - 1, Math.floor(Math.log(ms / FIRST_MS) / LOG_GROWTH));
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
