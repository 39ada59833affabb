// One run of one plan: trouble, then healing, then everybody goes home; the referee looks on all the time.
import { SeededRandom } from '@muster/ports';
import { whatIsLeft } from './check/convergence.ts';
import type { Violation } from './check/verdict.ts';
import { beginFault } from './faults.ts';
import type { Plan } from './plan.ts';
import { World } from './world/world.ts';

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly hash: string;
  readonly steps: number;
  readonly virtualMs: number;
  /** How often each kind of fault happened. */
  readonly faults: ReadonlyMap<string, number>;
  /** What clients were granted. */
  readonly grants: number;
  readonly lastEvents: readonly string[];
}

class Stopped extends Error {}

/** Tenants go on for so long when all is well, and are served. */
const CALM_MS = 9_000;
/** What is left over must be gone by then: leases, parked slots, hung starts, an open breaker's probe. */
const CONVERGE_MS = 150_000;
/** Where NATS lost writes also what runs without a slot: the age gate of the sweep, and two sweeps. */
const CONVERGE_LOSSY_MS = 360_000;
const LOOK_MS = 500;
const EVENTS_SHOWN = 60;

/** Runs a plan to its end, or to the first violation. */
export async function simulate(plan: Plan, onEvent?: (line: string) => void): Promise<RunResult> {
  const world = new World(plan);
  const { clock, referee, trace } = world;
  if (onEvent !== undefined) trace.onEvent = onEvent;
  const { verdict } = referee;
  clock.afterStep = () => {
    if (verdict.violation !== undefined) throw new Stopped();
  };
  const onRejection = (error: unknown): void => verdict.broken('defect', `a promise was rejected and nobody looked: ${stackOf(error)}`);
  process.on('unhandledRejection', onRejection);
  try {
    await run(world);
  } catch (error) {
    if (!(error instanceof Stopped)) verdict.broken('defect', stackOf(error));
  }
  // What is rejected is told when the loop turns.
  await new Promise<void>((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', onRejection);
  return {
    seed: plan.seed,
    violation: verdict.violation,
    steps: clock.steps,
    virtualMs: clock.monotonicMs(),
    faults: world.faults,
    grants: referee.journal.issues.size,
    lastEvents: trace.last(EVENTS_SHOWN),
    hash: trace.digest(),
  };
}

async function run(world: World): Promise<void> {
  const { plan, clock, referee } = world;
  for (let n = 0; n < plan.replicas; n += 1) world.addReplica({});
  for (let n = 0; n < plan.clients; n += 1) world.addClient();
  for (const fault of plan.faults) {
    clock.setTimer(fault.atMs, () => {
      world.trace.add(`fault ${fault.n}: ${fault.kind} for ${fault.forMs} ms`);
      world.count(fault.kind);
      const end = beginFault(fault.kind, world, new SeededRandom(fault.seed), fault.forMs);
      if (end !== undefined) world.after(fault.forMs, end);
    });
  }
  await clock.run(plan.faultyMs);
  world.heal();
  await clock.run(CALM_MS);
  world.isClosing = true;
  const untilMs = clock.monotonicMs() + (referee.journal.isLossy ? CONVERGE_LOSSY_MS : CONVERGE_MS);
  let left = whatIsLeft(world);
  while (left.length > 0 && clock.monotonicMs() < untilMs) {
    await clock.run(LOOK_MS);
    left = whatIsLeft(world);
  }
  if (left.length > 0) referee.verdict.broken('G6', `not converged: ${left.slice(0, 8).join('; ')}`);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
