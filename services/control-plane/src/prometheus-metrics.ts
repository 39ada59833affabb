import type { Counter, Gauge, Histogram, InstrumentOptions, Labels, Metrics } from '@muster/ports';
import * as prometheus from 'prom-client';

/** The Metrics port on prom-client: one registry a process, with Node's own metrics beside ours. */
export class PrometheusMetrics implements Metrics {
  readonly #registry = new prometheus.Registry();
  readonly #made = new Map<string, { readonly kind: string; readonly instrument: Counter | Gauge | Histogram }>();

  constructor() {
    prometheus.collectDefaultMetrics({ register: this.#registry });
  }

  /** What `/metrics` answers, in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
  get contentType(): string {
    return this.#registry.contentType;
  }

  counter(options: InstrumentOptions): Counter {
    return this.#once('counter', options.name, () => {
      const counter = new prometheus.Counter(this.#of(options));
      return { add: (labels: Labels = {}, by = 1) => counter.inc(labels, by) };
    });
  }

  gauge(options: InstrumentOptions): Gauge {
    return this.#once('gauge', options.name, () => {
      const gauge = new prometheus.Gauge(this.#of(options));
      return { set: (value: number, labels: Labels = {}) => gauge.set(labels, value), reset: () => gauge.reset() };
    });
  }

  histogram(options: InstrumentOptions & { readonly buckets: readonly number[] }): Histogram {
    return this.#once('histogram', options.name, () => {
      const histogram = new prometheus.Histogram({ ...this.#of(options), buckets: [...options.buckets] });
      return { observe: (value: number, labels: Labels = {}) => histogram.observe(labels, value) };
    });
  }

  #of({ name, help, labels = [] }: InstrumentOptions) {
    return { name, help, labelNames: [...labels], registers: [this.#registry] };
  }

  #once<T extends Counter | Gauge | Histogram>(kind: string, name: string, make: () => T): T {
    const known = this.#made.get(name);
    if (known !== undefined && known.kind !== kind) throw new Error(`${name} is a ${known.kind}, not a ${kind}`);
    const instrument = (known?.instrument as T | undefined) ?? make();
    this.#made.set(name, { kind, instrument });
    return instrument;
  }
}
