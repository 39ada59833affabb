// How fast workers come up, for the retry hint of a miss and the probes of an open breaker. Memory only.
import { BUDGETS } from '@muster/domain';

const PROBE_FIRST_MS = 5_000;
const PROBE_MAX_MS = 60_000;

export class SpawnPace {
  #startedAtMs: number | undefined;
  #spawnMs = 0;
  #probeAfterMs = 0;
  #probeAtMs = 0;

  started(nowMs: number): void {
    this.#startedAtMs ??= nowMs;
  }

  ready(nowMs: number): void {
    if (this.#startedAtMs !== undefined) {
      const tookMs = nowMs - this.#startedAtMs;
      this.#spawnMs = this.#spawnMs === 0 ? tookMs : this.#spawnMs * 0.8 + tookMs * 0.2;
    }
    this.#startedAtMs = undefined;
    this.#probeAfterMs = 0;
    this.#probeAtMs = 0;
  }

  /** A spawn failed while the breaker is open: the next probe comes later. */
  failed(nowMs: number): void {
    // One that was under way when the breaker opened says nothing of a probe.
    if (nowMs < this.#probeAtMs) return;
    this.#probeAfterMs = Math.min(PROBE_MAX_MS, Math.max(PROBE_FIRST_MS, this.#probeAfterMs * 2));
    this.#probeAtMs = nowMs + this.#probeAfterMs;
  }

  isProbeDue(nowMs: number): boolean {
    return nowMs >= this.#probeAtMs;
  }

  /** When a miss is worth another try, ms: about what a worker takes to come up, within 1 to 30 s. */
  get retryAfterMs(): number {
    return Math.round(Math.min(BUDGETS.retryHintMaxMs, Math.max(BUDGETS.retryHintMs, this.#spawnMs)));
  }
}
