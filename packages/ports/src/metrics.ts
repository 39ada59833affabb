/** Label values by label name; the names are given once, when the instrument is made. */
export type Labels = Readonly<Record<string, string>>;

/** A number that only grows. */
export interface Counter {
  add(labels?: Labels, by?: number): void;
}
/** A number that is what it is now. */
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Forgets every label combination, before a new set is written. */
  reset(): void;
}
/** A distribution; `observe` takes seconds where the name ends in `_seconds`. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

export interface InstrumentOptions {
  /** `muster_…`, with the unit last, as Prometheus names it. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** Makes instruments; asking twice for one name gives the same instrument. */
export interface Metrics {
  counter(options: InstrumentOptions): Counter;
  gauge(options: InstrumentOptions): Gauge;
  histogram(options: InstrumentOptions & { readonly buckets: readonly number[] }): Histogram;
}
