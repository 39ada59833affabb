import type { Counter, Gauge, Histogram, InstrumentOptions, Labels, Metrics } from '../metrics.ts';

/** What a histogram has seen. */
export interface Distribution {
  readonly count: number;
  readonly sum: number;
  readonly max: number;
}

const EMPTY: Distribution = { count: 0, sum: 0, max: 0 };

/** Metrics that can be read back. A label that was not declared, or another kind under a known name, is a defect. */
export class MemoryMetrics implements Metrics {
  readonly #instruments = new Map<string, Instrument>();

  counter(options: InstrumentOptions): Counter {
    const instrument = this.#instrument('counter', options);
    return {
      add: (labels, by = 1) => {
        if (by < 0) throw new Error(`${options.name} is a counter: it cannot change by ${by}`);
        const key = instrument.key(labels);
        instrument.values.set(key, (instrument.values.get(key) ?? 0) + by);
      },
    };
  }

  gauge(options: InstrumentOptions): Gauge {
    const instrument = this.#instrument('gauge', options);
    return {
      set: (value, labels) => void instrument.values.set(instrument.key(labels), value),
      reset: () => instrument.values.clear(),
    };
  }

  histogram(options: InstrumentOptions & { readonly buckets: readonly number[] }): Histogram {
    const instrument = this.#instrument('histogram', options);
    return {
      observe: (value, labels) => {
        const key = instrument.key(labels);
        const { count, sum, max } = instrument.distributions.get(key) ?? EMPTY;
        instrument.distributions.set(key, { count: count + 1, sum: sum + value, max: count === 0 ? value : Math.max(max, value) });
      },
    };
  }

  /** The value of a counter or gauge, 0 where it was never set; without labels the sum over all of them. */
  value(name: string, labels?: Labels): number {
    const instrument = this.#instruments.get(name);
    if (instrument === undefined) return 0;
    if (labels !== undefined) return instrument.values.get(instrument.key(labels)) ?? 0;
    return [...instrument.values.values()].reduce((sum, value) => sum + value, 0);
  }

  /** What a histogram has seen; without labels all of it. */
  distribution(name: string, labels?: Labels): Distribution {
    const instrument = this.#instruments.get(name);
    if (instrument === undefined) return EMPTY;
    if (labels !== undefined) return instrument.distributions.get(instrument.key(labels)) ?? EMPTY;
    return [...instrument.distributions.values()].reduce(
      (all, one) => ({ count: all.count + one.count, sum: all.sum + one.sum, max: Math.max(all.max, one.max) }),
      EMPTY,
    );
  }

  #instrument(kind: string, options: InstrumentOptions): Instrument {
    const known = this.#instruments.get(options.name);
    if (known !== undefined) {
      if (known.kind !== kind) throw new Error(`${options.name} is a ${known.kind}, not a ${kind}`);
      return known;
    }
    const instrument = new Instrument(kind, options);
    this.#instruments.set(options.name, instrument);
    return instrument;
  }
}

class Instrument {
  readonly kind: string;
  readonly values = new Map<string, number>();
  readonly distributions = new Map<string, Distribution>();
  readonly #name: string;
  readonly #labels: readonly string[];

  constructor(kind: string, options: InstrumentOptions) {
    this.kind = kind;
    this.#name = options.name;
    this.#labels = options.labels ?? [];
  }

  key(labels: Labels = {}): string {
    for (const label of Object.keys(labels)) {
      if (!this.#labels.includes(label)) throw new Error(`${this.#name} has no label ${label}`);
    }
    return JSON.stringify(this.#labels.map((label) => labels[label] ?? ''));
  }
}
