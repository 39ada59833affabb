// What has to be so when all is well again and nobody wants anything (G6): every shard owned once, nothing leaked, surplus
// gone, the floor warm, and every replica's view the same.
import { JANITOR_SHARD, shardsOf } from '@muster/protocol';
import type { World } from '../world/world.ts';
import { readSlot } from './fold.ts';

const SLOTS = { kind: 'slot', parse: (value: unknown) => value };

/** Workers without a slot that a shard removes in one sweep. */
const SWEPT_AT_ONCE = 3;

/** What is not so yet, in words; empty: converged. */
export function whatIsLeft(world: World): readonly string[] {
  const { referee, yard, replicas } = world;
  const { journal } = referee;
  const left: string[] = [];
  const config = journal.config?.config;
  if (config === undefined) return ['no configuration was ever stored'];
  const alive = replicas.filter(({ isAlive }) => isAlive);
  for (const client of world.liveClients) if (client.busy > 0) left.push(`${client.machine.name} has ${client.busy} requests under way`);
  const pools = Object.values(config.pools);
  const shards = [JANITOR_SHARD, ...pools.flatMap(({ name, shards: parts }) => shardsOf(name, parts))];
  for (const shard of shards) {
    const owners = alive.filter(({ runtime }) => runtime?.isOwned(shard) === true).map(({ name }) => name);
    if (owners.length !== 1) left.push(`${shard} is owned by ${owners.length === 0 ? 'nobody' : owners.join()}`);
    const fold = journal.fold(shard);
    for (const { name, runtime } of alive) {
      const shadow = runtime?.shadow(shard);
      if (shadow?.seq !== fold.seq) {
        left.push(`${name} follows ${shard} to ${shadow?.seq}, it ends at ${fold.seq}`);
        continue;
      }
      const seen = [...shadow.list(SLOTS)].flatMap(({ value }) => readSlot(value) ?? []);
      const isSame = seen.length === fold.slots.size && seen.every((slot) => same(slot, fold.slots.get(slot.id)));
      if (!isSame) left.push(`${name} sees other slots of ${shard} than its journal has`);
    }
  }
  for (const pool of pools) {
    const folds = shardsOf(pool.name, pool.shards).map((shard) => journal.fold(shard));
    // Where NATS lost writes a warm slot whose worker serves somebody is left alone too.
    const isServing = (slot: string): boolean => journal.isLossy && yard.worker(slot)?.holder !== undefined;
    const all = folds.flatMap((fold) => [...fold.slots.values()]);
    const slots = all.filter(({ id }) => !isServing(id));
    const serving = all.length - slots.length;
    const warm = slots.filter(({ state }) => state === 'warm').length;
    const floor = Math.min(pool.floor, pool.max === 0 ? pool.floor : pool.max, world.plan.capacityMax ?? pool.floor);
    if (warm > floor || warm + serving < floor) left.push(`${pool.name} has ${warm} warm, its floor is ${floor}`);
    for (const { id, state } of slots) {
      if (state !== 'warm') left.push(`${id} is still ${state}`);
      const resident = yard.residents.get(id);
      if (resident === undefined || resident.exit !== undefined) left.push(`${id} is ${state}, and has no worker`);
    }
  }
  const orphans = yard.running.filter(({ spec }) => journal.slot(spec.slot) === undefined);
  // Where NATS lost writes a worker that serves somebody is left alone, and many at once raise an alarm instead (DESIGN 8).
  const idle = journal.isLossy ? orphans.filter(({ worker }) => worker?.holder === undefined) : orphans;
  const isAlarmed = journal.isLossy && idle.length > SWEPT_AT_ONCE;
  if (!isAlarmed) for (const { spec } of idle) left.push(`a worker of ${spec.slot} runs without a slot`);
  return left;
}

function same(one: object, other: object | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
