/** How large, and how busy. */
export interface ScalePlan {
  readonly seed: number;
  readonly replicas: number;
  readonly slots: number;
  readonly shards: number;
  readonly orgs: number;
  /** Orgs with a cap of their own; a configuration has room for some thousands. */
  readonly cappedOrgs: number;
  /** For so long orgs come and go. */
  readonly busyMs: number;
  readonly holdMaxMs: number;
  readonly pauseMaxMs: number;
  /** Killed half way, the janitor's owner among them. */
  readonly kills: number;
}

export const LARGE: ScalePlan = {
  seed: 1,
  replicas: 100,
  slots: 100_000,
  shards: 64,
  orgs: 10_000,
  cappedOrgs: 5_000,
  busyMs: 95_000,
  holdMaxMs: 20_000,
  pauseMaxMs: 60_000,
  kills: 5,
};
