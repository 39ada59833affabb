import type { Caps } from './reservation-history.ts';

/** A reservation for as long as it was certainly held. */
export interface Held {
  readonly slot: string;
  readonly epoch: number;
  readonly holder: string;
  readonly pool: string;
  readonly org: string;
  /** When its grant was received. */
  readonly atMs: number;
  endMs: number;
}

/** That nobody has more at once than the caps allow (G4). */
export class CapRule {
  readonly #caps: Caps;
  readonly #seen: string[] = [];

  constructor(caps: Caps) {
    this.#caps = caps;
  }

  saw(pool: string, alive: number): void {
    const cap = this.#caps.pools?.[pool] ?? 0;
    if (cap > 0 && alive > cap) this.#seen.push(`${pool} was seen with ${alive} live slots, its cap is ${cap}`);
  }

  violations(lives: readonly Held[]): readonly string[] {
    const { pools = {}, orgs = {} } = this.#caps;
    const said = [...this.#seen];
    for (const [pool, inPool] of Map.groupBy(lives, (life) => life.pool)) {
      said.push(...beyond(pool, inPool, pools[pool] ?? 0));
      for (const [org, ofOrg] of Map.groupBy(inPool, (life) => life.org)) said.push(...beyond(`${org} in ${pool}`, ofOrg, orgs[org] ?? 0));
    }
    return said;
  }
}

/** Walks through the beginnings and ends; an end at the same moment comes first. */
function beyond(who: string, lives: readonly Held[], cap: number): readonly string[] {
  if (cap === 0) return [];
  const moments = lives
    .flatMap(({ atMs, endMs }) => [
      { ms: atMs, change: 1 },
      { ms: Math.max(atMs, endMs), change: -1 },
    ])
    .toSorted((one, other) => one.ms - other.ms || one.change - other.change);
  let held = 0;
  let most = 0;
  for (const { change } of moments) {
    held += change;
    most = Math.max(most, held);
  }
  return most > cap ? [`${who} held ${most} at once, its cap is ${cap}`] : [];
}
