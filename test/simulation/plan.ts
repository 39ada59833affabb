// What one run is made of, all of it from its seed: the cluster's shape, its tenants, and the faults with their times.
//
// Each fault has random numbers of its own, so that leaving one out (see shrink.ts) changes the others as little as can be.
import { SeededRandom } from '@muster/ports';
import { FAULTS, type FaultKind } from './faults.ts';
import type { Habits } from './world/sim-client.ts';

/** One fault: what, when, for how long. Whom it hits is decided when it happens, by its own random numbers. */
export interface Fault {
  readonly n: number;
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly forMs: number;
  readonly seed: number;
}

export interface Plan {
  readonly seed: number;
  readonly replicas: number;
  readonly clients: number;
  readonly habits: Habits;
  /** The `pools` and `orgs` of the configuration. */
  readonly config: string;
  /** False: messages of one sender to one receiver may overtake each other. */
  readonly isOrdered: boolean;
  readonly recordBytesMax: number;
  readonly snapshotBytesMin: number;
  /** Machines' clocks run up to so much fast or slow. */
  readonly drift: number;
  /** Faults happen until then. */
  readonly faultyMs: number;
  readonly capacityMax: number | undefined;
  readonly faults: readonly Fault[];
}

const MEAN_GAP_MS = 2_200;
const FIRST_MS = 1_500;

/** The plan of a seed; the same for ever, as far as this file is. */
export function planOf(seed: number): Plan {
  const random = new SeededRandom(seed);
  const pick = <T>(...items: readonly T[]): T => items[Math.floor(random.next() * items.length)] as T;
  const between = (low: number, high: number): number => low + Math.floor(random.next() * (high - low + 1));
  const recycle = pick('single-use', 'same-org', 'shared');
  const max = pick(0, 0, between(4, 12));
  const shards = pick(1, 1, 2);
  const orgs = Array.from({ length: between(2, 6) }, (_, n) => `org-${n}`);
  const hasSecondPool = random.next() < 0.4;
  const pool = (name: string, floor: number, how: string, cap: number, parts: number): string =>
    [
      `  ${name}:`,
      '    driver: simulated',
      `    floor: ${floor}`,
      `    max: ${cap}`,
      `    shards: ${parts}`,
      `    recycle: ${how}`,
      '    parkedTtl: 4s',
      '    leaseTtl: 8s',
      '    scaleDown: { after: 4s, every: 1s }',
      '    spawn: 15s',
      '    activation: 1500ms',
      `    breaker: { failures: ${between(3, 6)} }`,
    ].join('\n');
  const config = [
    'pools:',
    pool('main', between(0, 5), recycle, max, shards),
    ...(hasSecondPool ? [pool('side', between(0, 3), pick('single-use', 'same-org', 'shared'), 0, 1)] : []),
    'orgs:',
    `  org-0: { max: ${between(1, 4)} }`,
    `  org-1: { max: ${pick(0, 3)}, weight: 2 }`,
  ].join('\n');
  const faultyMs = between(25_000, 55_000);
  // A run has a few kinds of faults, so that each is met without the others too; some have nearly all.
  const kinds = FAULTS.filter(({ isSpecial }) => isSpecial !== true).map(({ kind }) => kind);
  const chosen = random.next() < 0.2 ? kinds : Array.from({ length: between(2, 6) }, () => pick(...kinds));
  const special = FAULTS.filter(({ isSpecial }) => isSpecial === true).map(({ kind }) => kind);
  if (random.next() < 0.12) chosen.push(pick(...special));
  const calmness = 0.5 + random.next() * 1.5;
  const faults: Fault[] = [];
  for (let atMs = FIRST_MS; atMs < faultyMs; atMs += random.next() * 2 * MEAN_GAP_MS * calmness) {
    const kind = pick(...chosen);
    const lengthMs = (random.next() < 0.3 ? 9_000 : 2_500) * (FAULTS.find((fault) => fault.kind === kind)?.longer ?? 1);
    faults.push({ n: faults.length, kind, atMs: Math.round(atMs), forMs: Math.round(random.next() * lengthMs), seed: between(1, 1e9) });
  }
  return {
    seed,
    replicas: between(2, 4),
    clients: between(1, 3),
    habits: {
      pools: hasSecondPool ? ['main', 'main', 'side'] : ['main'],
      orgs,
      tenantsPerClient: between(2, 6),
      waitMaxMs: pick(3_000, 10_000),
      holdMaxMs: pick(500, 6_000, 12_000),
      pauseMaxMs: pick(300, 3_000),
      ttlMs: pick(4_000, 8_000),
    },
    config,
    isOrdered: random.next() < 0.7,
    recordBytesMax: pick(1024 * 1024, 48 * 1024, 14 * 1024),
    snapshotBytesMin: pick(4 * 1024 * 1024, 6_000, 40_000),
    drift: pick(0, 0.002, 0.02),
    faultyMs,
    capacityMax: pick(undefined, undefined, 20),
    faults,
  };
}

/** The same run with these faults only, by their numbers. */
export function withFaults(plan: Plan, numbers: readonly number[]): Plan {
  const kept = new Set(numbers);
  return { ...plan, faults: plan.faults.filter(({ n }) => kept.has(n)) };
}
