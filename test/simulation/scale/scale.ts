// One large run: everybody starts, all workers come up, orgs come and go, some replicas are killed, and all is given back.
import { JANITOR_SHARD } from '@muster/protocol';
import type { ScalePlan } from './scale-plan.ts';
import { type ScaleReplica, ScaleWorld } from './scale-world.ts';

/** One part of a run, and what it cost. */
export interface ScalePhase {
  readonly name: string;
  readonly virtualMs: number;
  readonly wallMs: number;
  readonly steps: number;
  readonly records: number;
}

export interface ScaleResult {
  readonly phases: readonly ScalePhase[];
  readonly virtualMs: number;
  readonly wallMs: number;
  /** Of all threads, the collector's included. */
  readonly cpuMs: number;
  readonly steps: number;
  readonly records: number;
  readonly decoded: number;
  readonly reservations: number;
  readonly misses: ReadonlyMap<string, number>;
  readonly tookMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** From the kill until every shard had an owner again. */
  readonly outageMs: number | undefined;
  readonly peakRssMb: number;
  readonly hash: string;
}

const SETTLE_MS = 120_000;
const LOOK_MS = 250;
const OUTAGE_LOOK_MS = 20;

/** @throws Error at the first violation, or where something does not come about in its time */
export async function runScale(plan: ScalePlan, said: (line: string) => void = () => undefined): Promise<ScaleResult> {
  const world = new ScaleWorld(plan);
  const { clock } = world;
  const phases: ScalePhase[] = [];
  const beganMs = performance.now();
  const beganCpu = process.cpuUsage();
  let outageMs: number | undefined;
  const phase = async (name: string, run: () => Promise<void>): Promise<void> => {
    const before = { virtualMs: clock.monotonicMs(), wallMs: performance.now(), steps: clock.steps, records: world.records };
    await run();
    const one = {
      name,
      virtualMs: clock.monotonicMs() - before.virtualMs,
      wallMs: performance.now() - before.wallMs,
      steps: clock.steps - before.steps,
      records: world.records - before.records,
    };
    phases.push(one);
    said(phaseLine(one));
  };
  const until = async (what: string, isSo: () => boolean, lookMs = LOOK_MS): Promise<void> => {
    const untilMs = clock.monotonicMs() + SETTLE_MS;
    while (!isSo()) {
      if (clock.monotonicMs() > untilMs) throw new Error(`${what}: not after ${SETTLE_MS} ms of virtual time`);
      await clock.run(lookMs);
    }
  };
  const areOwned = (): boolean => world.shards.every((shard) => world.ownersOf(shard).length === 1);

  await phase('replicas start', async () => {
    for (let n = 0; n < plan.replicas; n += 1) await world.addReplica();
    await until('every shard has an owner', areOwned);
  });
  await phase('workers come up', () => until('all are warm', () => world.count('warm') === plan.slots));
  world.addTenants();
  await phase('orgs come and go', () => clock.run(plan.busyMs / 2));
  await phase('replicas are killed', async () => {
    const atMs = clock.monotonicMs();
    for (const replica of victims(world)) world.kill(replica);
    await until('every shard has an owner again', areOwned, OUTAGE_LOOK_MS);
    outageMs = clock.monotonicMs() - atMs;
  });
  await phase('orgs come and go', () => clock.run(plan.busyMs / 2));
  world.isClosing = true;
  await phase('all is given back', () =>
    until('all are warm again', () => world.tenants.every(({ isBusy }) => !isBusy) && world.count('warm') === plan.slots),
  );
  await phase('everybody sees the same', () => until('all follow to the end', () => whatDiffers(world) === undefined));
  const cpu = process.cpuUsage(beganCpu);
  const took = world.tookMs.toSorted((one, other) => one - other);
  const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0;
  return {
    phases,
    virtualMs: clock.monotonicMs(),
    wallMs: performance.now() - beganMs,
    cpuMs: (cpu.user + cpu.system) / 1_000,
    steps: clock.steps,
    records: world.records,
    decoded: world.shared.decoded,
    reservations: took.length,
    misses: world.misses,
    tookMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    outageMs,
    peakRssMb: process.resourceUsage().maxRSS / 1024,
    hash: world.hash,
  };
}

/** The janitor's owner, and those with the most shards. */
function victims(world: ScaleWorld): readonly ScaleReplica[] {
  const [janitor] = world.ownersOf(JANITOR_SHARD);
  const owned = ({ runtime }: ScaleReplica): number => world.shards.filter((shard) => runtime.isOwned(shard)).length;
  const others = world.replicas.filter((one) => one !== janitor).toSorted((one, other) => owned(other) - owned(one));
  return [...(janitor === undefined ? [] : [janitor]), ...others].slice(0, world.plan.kills);
}

/** A shard that some replica sees otherwise than its journal has it. */
function whatDiffers(world: ScaleWorld): string | undefined {
  for (const shard of world.shards) {
    const fold = world.journal.fold(shard);
    for (const { name, runtime } of world.replicas) {
      const shadow = runtime.shadow(shard);
      const slots = shadow?.count({ kind: 'slot', parse: (value) => value });
      if (shadow?.seq !== fold.seq || slots !== fold.slots.size) return `${name} sees ${shard} at ${shadow?.seq} with ${slots} slots`;
    }
  }
  return undefined;
}

export function phaseLine({ name, virtualMs, wallMs, steps, records }: ScalePhase): string {
  return `${name.padEnd(26)} ${seconds(virtualMs).padStart(8)} virtual ${seconds(wallMs).padStart(8)} wall ${String(steps).padStart(10)} steps ${String(records).padStart(8)} records`;
}

export function scaleLines(plan: ScalePlan, result: ScaleResult): readonly string[] {
  const { virtualMs, wallMs, cpuMs, steps, records, decoded, reservations, misses, tookMs, outageMs, peakRssMb, hash } = result;
  const busyMs = result.phases.filter(({ name }) => name === 'orgs come and go').reduce((sum, one) => sum + one.virtualMs, 0);
  return [
    `cluster           ${plan.replicas} replicas, ${plan.slots} slots in ${plan.shards} shards, ${plan.orgs} orgs`,
    `virtual time      ${seconds(virtualMs)}`,
    `wall time         ${seconds(wallMs)}, of processors ${seconds(cpuMs)}`,
    `peak memory       ${Math.round(peakRssMb)} MB`,
    `steps             ${steps}`,
    `journal records   ${records}, decoded ${decoded} times`,
    `reservations      ${reservations}: ${(reservations / (busyMs / 1_000)).toFixed(0)}/s of virtual time, ${(reservations / (wallMs / 1_000)).toFixed(0)}/s of wall time`,
    `reserve           p50 ${tookMs.p50.toFixed(1)} ms, p99 ${tookMs.p99.toFixed(1)} ms, max ${tookMs.max.toFixed(0)} ms (virtual: 0.1 to 0.5 ms a hop)`,
    `misses            ${[...misses].map(([reason, count]) => `${reason} ${count}`).join(', ') || 'none'}`,
    `${plan.kills} replicas killed ${outageMs === undefined ? 'no shard without an owner' : `every shard owned again after at most ${outageMs.toFixed(0)} ms`}`,
    'violations        0',
    `journal hash      ${hash}`,
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
