export { ClusterView, type SlotFilter } from './gateway/cluster-view.ts';
export { shownRecord } from './kinds.ts';
export type { Requests } from './gateway/reserve-gateway.ts';
export { type PoolNode, type PoolNodeOptions, startPools } from './pool-node.ts';
export type { Secrets } from './shard/worker-link.ts';
