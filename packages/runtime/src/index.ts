export { type ActorAnswer, type ActorShardOptions, actorShard, defineActor, parseActorRecord, type ShardActorKind } from './actor-shard.ts';
export type * from './contract.ts';
export { startRuntime } from './runtime.ts';
