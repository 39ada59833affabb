// How many workers a shard of a pool needs (DESIGN 7). Pure: the latest cut and the open intents in, a number out.
//
// Invariants:
//   Z1. started ≤ floor + waiters + refused requests − supply, and never more than the cap leaves room for (G4, G5).
//   Z2. Nothing that was computed is ever an input: no target is stored.
//   Z3. Shrinking takes from what is warm and not wanted, a quarter of the surplus at a time.

/** What bounds the live workers of a shard; unknown is not 0, and 0 is not unbounded. */
export type Ceiling =
  | { readonly kind: 'unbounded' }
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'bounded'; readonly max: number; readonly why: string };

/** One shard as its latest cut says, with what the janitor has ordered since. */
export interface ShardSupply {
  readonly floor: number;
  readonly ceiling: Ceiling;
  readonly waiting: number;
  readonly refused: number;
  readonly warm: number;
  readonly spawning: number;
  /** All live slots, draining ones too. */
  readonly alive: number;
  /** Slots of intents that the cut does not show yet. */
  readonly ordered: number;
}

/** Live workers that the shard may still start. */
export function roomOf(supply: Pick<ShardSupply, 'ceiling' | 'alive' | 'ordered'>): number {
  switch (supply.ceiling.kind) {
    case 'unbounded':
      return Number.POSITIVE_INFINITY;
    case 'unknown':
      return 0;
    case 'bounded':
      return Math.max(0, supply.ceiling.max - supply.alive - supply.ordered);
  }
}

/** How many slots to start now for what is missed and for the floor. */
export function slotsToStart(supply: ShardSupply): number {
  const need = supply.floor + supply.waiting + supply.refused - (supply.warm + supply.spawning + supply.ordered);
  return Math.max(0, Math.min(need, roomOf(supply)));
}

/** How many idle slots nobody wants: what is warm beyond the floor and the waiters. */
export function surplusOf(supply: Pick<ShardSupply, 'warm' | 'floor' | 'waiting' | 'refused'>): number {
  return Math.max(0, supply.warm - supply.floor - supply.waiting - supply.refused);
}

/** How many of a surplus to drain in one step: at most a quarter, at least 1. */
export function slotsToDrain(surplus: number): number {
  return surplus <= 0 ? 0 : Math.max(1, Math.floor(surplus / 4));
}

/** Slots that may be on top of the floor while a template is replaced: `surge` of the floor, at least 1. */
export function surgeOf(floor: number, surge: number, warmOldTemplate: number): number {
  return warmOldTemplate === 0 ? 0 : Math.min(warmOldTemplate, Math.max(1, Math.floor(floor * surge)));
}
