import { createHmac, timingSafeEqual } from 'node:crypto';

/** The cluster's key as it is configured, or its bytes. */
export type ClusterKey = string | Uint8Array;

/**
 * What the worker of a slot shows in its hello and its beats (DESIGN 8): made from the slot and the cluster's key, so that
 * any owner of the shard can make and check it. 43 characters, base64url.
 */
export function slotToken(key: ClusterKey, slot: string): string {
  return sign(key, ['slot', slot]);
}

/**
 * What a worker wants from whoever calls it for a reservation (DESIGN 6.3): given to the worker in `activate` and to the
 * holder in the answer, made again by a new owner, never stored. 43 characters, base64url.
 */
export function reservationToken(key: ClusterKey, reservation: string, slot: string, epoch: number): string {
  return sign(key, ['reservation', reservation, slot, String(epoch)]);
}

/** Compares two tokens in a time that does not depend on where they differ; their length is no secret. */
export function isSameToken(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}

// The purpose comes first and parts are told apart by a byte that no id has, so that no two tokens are made of one text.
function sign(key: ClusterKey, parts: readonly string[]): string {
  return createHmac('sha256', key).update(parts.join('\0')).digest('base64url');
}
