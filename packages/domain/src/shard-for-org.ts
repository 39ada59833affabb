const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * The part of a pool that an org's requests go to: FNV-1a (32 bits, over the UTF-8 bytes of the org) modulo the number of
 * parts. Clients and replicas must agree on it, so it may never change while a pool has several shards.
 * @throws RangeError where there are no shards
 */
export function shardForOrg(org: string, shards: readonly string[]): string {
  const shard = shards[fnv1a(org) % shards.length];
  if (shard === undefined) throw new RangeError('a pool has at least one shard');
  return shard;
}

function fnv1a(text: string): number {
  let hash = OFFSET_BASIS;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, PRIME);
  return hash >>> 0;
}
