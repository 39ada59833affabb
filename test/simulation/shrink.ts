// Makes the list of a failing run's faults small: what is left is needed (delta debugging, Zeller and Hildebrandt 2002).
import { type Plan, withFaults } from './plan.ts';
import { type RunResult, simulate } from './simulation.ts';

export interface Shrunk {
  readonly result: RunResult;
  /** Numbers of the faults that are left. */
  readonly faults: readonly number[];
  readonly runs: number;
}

/** The same violation (by its rule) from fewer faults; `runsMax` bounds how long it is tried. */
export async function shrink(plan: Plan, failed: RunResult, runsMax = 120): Promise<Shrunk> {
  const rule = failed.violation?.rule;
  let faults = plan.faults.map(({ n }) => n);
  let result = failed;
  let runs = 0;
  let parts = 2;
  while (faults.length > 0 && runs < runsMax) {
    const length = Math.ceil(faults.length / parts);
    let isSmaller = false;
    for (let at = 0; at < faults.length && runs < runsMax; at += length) {
      const fewer = [...faults.slice(0, at), ...faults.slice(at + length)];
      const tried = await simulate(withFaults(plan, fewer));
      runs += 1;
      if (tried.violation?.rule !== rule) continue;
      faults = fewer;
      result = tried;
      isSmaller = true;
      parts = Math.max(2, parts - 1);
      break;
    }
    if (isSmaller) continue;
    if (length === 1) break;
    parts = Math.min(faults.length, parts * 2);
  }
  return { result, faults, runs };
}
