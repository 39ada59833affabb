import type { Counter, Gauge, Metrics } from '@muster/ports';

/** What the driver shows of its own; docs/reference/metrics.md lists it. */
export class DriverMeters {
  readonly #calls: Counter;
  readonly #relists: Counter;
  readonly #staleness: Gauge;

  constructor(metrics: Metrics) {
    this.#calls = metrics.counter({
      name: 'muster_kubernetes_calls_total',
      help: 'Calls to the API server, by method and status; 0 is no answer',
      labels: ['method', 'status'],
    });
    this.#relists = metrics.counter({
      name: 'muster_kubernetes_relists_total',
      help: 'Times that all pods were read anew for the watch',
      labels: ['reason'],
    });
    this.#staleness = metrics.gauge({
      name: 'muster_kubernetes_watch_staleness_seconds',
      help: 'How long ago the API server was last heard: what is known of pods may be as old',
    });
  }

  answered(method: string, status: number): void {
    this.#calls.add({ method, status: String(status) });
  }
  relisted(reason: string): void {
    this.#relists.add({ reason });
  }
  staleness(ms: number): void {
    this.#staleness.set(ms / 1_000);
  }
}
