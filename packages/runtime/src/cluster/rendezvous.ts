/**
 * The replicas in the order of their claim to a shard (rendezvous hashing): all replicas that see the same ones agree,
 * and one that comes or goes changes nothing between the others.
 */
export function claimOrder(shard: string, replicas: Iterable<string>): readonly string[] {
  const scored = [...replicas].map((replica) => ({ replica, score: hash(`${shard}\0${replica}`) }));
  scored.sort((one, other) => other.score - one.score || (one.replica < other.replica ? -1 : 1));
  return scored.map(({ replica }) => replica);
}

/** FNV-1a with a final mix (murmur3's), so that names that differ in the last character end up far apart. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
