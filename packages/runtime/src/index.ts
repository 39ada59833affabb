export { type ActorAnswer, type ActorShardOptions, actorShard, defineActor, parseActorRecord, type ShardActorKind } from './actor-shard.ts';
export type * from './contract.ts';
export { SharedRecords } from './journal/shared-records.ts';
export { startRuntime } from './runtime.ts';
