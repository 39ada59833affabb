// Requests that were refused for want of warm workers and are expected again: demand as much as a waiter is.
//
// Invariants:
//   F1. Distinct request ids count once each, however often they are tried; requests without an id of their own once an org.
//   F2. Never more of an org than its cap has room for, and than `perOrgMax`.
//   F3. A grant to the org takes its oldest away; who waits is never here too.

/** How long after its hint a retry is still expected, ms. */
const SLACK_MS = 1_000;

export class Refusals {
  /** Expiry by request, oldest first, by org. */
  readonly #byOrg = new Map<string, Map<string, number>>();

  get isEmpty(): boolean {
    return this.#byOrg.size === 0;
  }

  add(org: string, key: string, nowMs: number, retryAfterMs: number, most: number): void {
    const entries = this.#byOrg.get(org) ?? new Map<string, number>();
    if (!entries.has(key) && entries.size >= most) return;
    entries.set(key, nowMs + retryAfterMs + SLACK_MS);
    this.#byOrg.set(org, entries);
  }

  /** This request is refused no longer: it waits, was granted or cancelled. */
  remove(org: string, key: string): boolean {
    const entries = this.#byOrg.get(org);
    if (entries === undefined || !entries.delete(key)) return false;
    if (entries.size === 0) this.#byOrg.delete(org);
    return true;
  }

  /** The org got a worker: one retry less is to come. */
  granted(org: string, key: string): void {
    if (this.remove(org, key)) return;
    const oldest = this.#byOrg.get(org)?.keys().next().value;
    if (oldest !== undefined) this.remove(org, oldest);
  }

  /** Drops what is no longer expected, and counts the rest. */
  count(nowMs: number): number {
    let sum = 0;
    for (const [org, entries] of this.#byOrg) {
      for (const [key, expiresMs] of entries) if (expiresMs <= nowMs) entries.delete(key);
      if (entries.size === 0) this.#byOrg.delete(org);
      sum += entries.size;
    }
    return sum;
  }
}
