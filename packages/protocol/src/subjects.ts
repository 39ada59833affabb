/**
 * Every subject that Muster uses (DESIGN 4.1, 6.1, 7.1, 8). Arguments are single subject tokens; they are checked where
 * they come in (schemas.ts), not here.
 */
export const subjects = {
  /** The journal of a shard. */
  journal: (cluster: string, shard: string): string => `muster.j.${cluster}.${shard}`,
  journals: (cluster: string): string => `muster.j.${cluster}.*`,
  /** An immutable part of a snapshot. */
  part: (cluster: string, shard: string, part: string): string => `muster.p.${cluster}.${shard}.${part}`,
  parts: (cluster: string): string => `muster.p.${cluster}.>`,
  /** Commands to the owner of a shard, from replicas: all of them. */
  shardCommand: (shard: string): string => `muster.v1.shard.${shard}.cmd`,
  /** Commands to the owner of a shard, from clients: those that a client may give, by the shard's own word. */
  shardRequest: (shard: string): string => `muster.v1.shard.${shard}.request`,
  replicaBeat: (replica: string): string => `muster.v1.replica.${replica}.beat`,
  replicaBeats: (): string => 'muster.v1.replica.*.beat',
  /** The pools and their shards: what a client asks first. */
  pools: (): string => 'muster.v1.pools',
  reserve: (pool: string): string => `muster.v1.reserve.${pool}`,
  reserveAny: (): string => 'muster.v1.reserve.*',
  renew: (): string => 'muster.v1.renew',
  release: (): string => 'muster.v1.release',
  cancel: (): string => 'muster.v1.cancel',
  /** Administration: hold, resume, drain, apply, status (see `AdminRequest`). */
  admin: (): string => 'muster.v1.admin',
  /** Cuts of a shard, to the janitor. */
  miss: (shard: string): string => `muster.v1.miss.${shard}`,
  misses: (): string => 'muster.v1.miss.*',
  /** News of a reservation, to whoever holds it: `{type: 'lost', reason}`. */
  reservationLost: (reservation: string): string => `muster.v1.reservation.${reservation}.lost`,
  reservation: (reservation: string): string => `muster.v1.reservation.${reservation}`,
  workerHello: (shard: string, slot: string): string => `muster.v1.worker.${shard}.${slot}.hello`,
  workerHellos: (shard: string): string => `muster.v1.worker.${shard}.*.hello`,
  workerBeat: (shard: string, slot: string): string => `muster.v1.worker.${shard}.${slot}.beat`,
  workerBeats: (shard: string): string => `muster.v1.worker.${shard}.*.beat`,
  workerCommand: (shard: string, slot: string, instance: string): string => `muster.v1.worker.${shard}.${slot}.${instance}.cmd`,
  /** Commands to a host agent. */
  hostDriver: (host: string): string => `muster.v1.host.${host}.driver`,
  hostBeat: (host: string): string => `muster.v1.host.${host}.beat`,
  hostBeats: (): string => 'muster.v1.host.*.beat',
  /** A host that will never come back, told to every replica. */
  hostForgotten: (host: string): string => `muster.v1.host.${host}.forgotten`,
  hostsForgotten: (): string => 'muster.v1.host.*.forgotten',
  /** Changes of the workers of a host. */
  hostWorker: (host: string): string => `muster.v1.host.${host}.worker`,
  hostWorkers: (): string => 'muster.v1.host.*.worker',
  /** Committed transitions, to look at. */
  event: (kind: string, id: string, state: string): string => `muster.v1.events.${kind}.${id}.${state}`,
} as const;

/** Names of what is stored in NATS for a cluster. */
export const stores = {
  stream: (cluster: string): string => `MUSTER_${cluster}`,
  slotsBucket: (cluster: string): string => `muster_${cluster}_slots`,
} as const;

/** The shard of the janitor; no pool may have this name. */
export const JANITOR_SHARD = 'janitor';

/** The shards of a pool, in order: the pool's own name, or `<pool>--<part>`. */
export function shardsOf(pool: string, parts: number): readonly string[] {
  return parts === 1 ? [pool] : Array.from({ length: parts }, (_, part) => `${pool}--${part}`);
}

/** The shard in a slot id (`<shard>-<random>`) or reservation id (`<slot>_<epoch>`); undefined where it is neither. */
export function tryShardOf(id: string): string | undefined {
  const slot = trySlotOf(id) ?? id;
  const at = slot.lastIndexOf('-');
  return at > 0 ? slot.slice(0, at) : undefined;
}

/** The slot in a reservation id. */
export function trySlotOf(reservation: string): string | undefined {
  const at = reservation.indexOf('_');
  return at > 0 ? reservation.slice(0, at) : undefined;
}
