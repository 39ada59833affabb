export type * from './pool-spec.ts';
