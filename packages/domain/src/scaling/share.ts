/**
 * The part of a whole that belongs to one of several equal shards: whole numbers that add up to the whole, the first
 * shards get the odd ones. Used for a pool's floor and its cap.
 */
export function shareOf(whole: number, parts: number, part: number): number {
  return Math.floor(whole / parts) + (part < whole % parts ? 1 : 0);
}
