export type * from './pool-spec.ts';
export * from './scaling/share.ts';
export * from './scaling/sizing.ts';
export * from './shard-for-org.ts';
export * from './slot/slot-clock.ts';
export * from './slot/slot-machine.ts';
export * from './units.ts';
export * from './budgets.ts';
export * from './fair-queue.ts';
