// Which shard moves where, when a replica has joined or is about to stop. Pure: looked at anew every tick.
//
//   M1. Only the replica with the most shards moves one (of several the first by name): one move at a time.
//   M2. A move makes the difference between two replicas smaller, never the other way round: it ends.
import { claimOrder } from './rendezvous.ts';

export interface Candidate {
  readonly replica: string;
  /** How many it owns. */
  readonly shards: number;
  /** It could be the owner of this shard now: it knows it, follows at the end, and has been there for long enough. */
  canTake(shard: string): boolean;
}

/** The move that this replica should make now. */
export function chooseMove(
  own: { readonly replica: string; readonly shards: readonly string[]; readonly movable: readonly string[] },
  others: readonly Candidate[],
): { readonly shard: string; readonly to: string } | undefined {
  const count = own.shards.length;
  const isMover = others.every(({ replica, shards }) => shards < count || (shards === count && own.replica < replica));
  if (!isMover) return undefined;
  const targets = others.filter(({ shards }) => count - shards >= 2);
  const everybody = [own.replica, ...others.map(({ replica }) => replica)];
  for (const target of targets.toSorted((one, other) => one.shards - other.shards || (one.replica < other.replica ? -1 : 1))) {
    // The shard whose claim on the target is the highest, so that it is the least likely to move again.
    const [shard] = own.movable
      .filter((movable) => target.canTake(movable))
      .toSorted((one, other) => place(one, target.replica, everybody) - place(other, target.replica, everybody));
    if (shard !== undefined) return { shard, to: target.replica };
  }
  return undefined;
}

/** Who gets each shard of a replica that stops: the one with the fewest, among equals by claim. */
export function chooseHeirs(shards: readonly string[], others: readonly Candidate[]): ReadonlyMap<string, string> {
  const counts = new Map(others.map(({ replica, shards: count }) => [replica, count]));
  const heirs = new Map<string, string>();
  for (const shard of shards) {
    const able = others.filter((other) => other.canTake(shard)).map(({ replica }) => replica);
    const [heir] = claimOrder(shard, able).toSorted((one, other) => (counts.get(one) ?? 0) - (counts.get(other) ?? 0));
    if (heir === undefined) continue;
    heirs.set(shard, heir);
    counts.set(heir, (counts.get(heir) ?? 0) + 1);
  }
  return heirs;
}

function place(shard: string, replica: string, replicas: readonly string[]): number {
  return claimOrder(shard, replicas).indexOf(replica);
}
