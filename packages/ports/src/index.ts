export type * from './clock.ts';
export type * from './journal.ts';
export type * from './latest-values.ts';
export type * from './logger.ts';
export type * from './message-bus.ts';
export type * from './metrics.ts';
export type * from './random.ts';
export type * from './worker-driver.ts';
