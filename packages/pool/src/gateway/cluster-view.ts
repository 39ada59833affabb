// The cluster as this replica's read models show it: for people to look at. Nothing decides from it.
import { countsForOrg, ownOf, slotStateName } from '@muster/domain';
import type { Clock, WorkerDriver } from '@muster/ports';
import {
  ADMIN_LIMITS,
  type Cut,
  type ExplainAnswer,
  type HostListAnswer,
  type IntentListAnswer,
  JANITOR_SHARD,
  MusterError,
  type OrgListAnswer,
  type PoolListAnswer,
  type PoolSummary,
  type ReservationListAnswer,
  type ReservationSummary,
  type SlotListAnswer,
  type SlotSummary,
  type StatusAnswer,
  shardsOf,
  tryShardOf,
  trySlotOf,
} from '@muster/protocol';
import type { Runtime, Shadow } from '@muster/runtime';
import type { CutBoard } from '../janitor/cut-board.ts';
import { appliedKind, CONFIG_ID, type ConfigRecord, configKind, holdKind, intentKind, pauseKind, slotKind } from '../kinds.ts';
import { explainOrg, explainPool, explainSlot } from './explanation.ts';

/** The last decisions of a pool that are told with it. */
const EXPLAINED_INTENTS = 3;

interface OrgCounts {
  reserved: number;
  parked: number;
  waiting: number;
}

export interface ClusterViewOptions {
  readonly runtime: Runtime;
  readonly cluster: string;
  readonly version: string;
  readonly clock: Clock;
  readonly cuts: CutBoard;
  readonly drivers: readonly WorkerDriver[];
}

export interface SlotFilter {
  readonly pool?: string | undefined;
  readonly state?: string | undefined;
  readonly org?: string | undefined;
  readonly page: number;
}

/** The whole cluster as this replica's shadows and cuts show it: for people to look at; nothing decides from it. */
export class ClusterView {
  readonly #options: ClusterViewOptions;

  constructor(options: ClusterViewOptions) {
    this.#options = options;
  }

  get config(): ConfigRecord | undefined {
    return this.#options.runtime.shadow(JANITOR_SHARD)?.get(configKind, CONFIG_ID)?.value;
  }

  status(): StatusAnswer {
    const { runtime, cluster, version } = this.#options;
    const names = [JANITOR_SHARD, ...this.#shards()];
    return {
      ok: true,
      cluster,
      replica: runtime.replica,
      version,
      configVersion: this.config?.version ?? 0,
      replicas: runtime.replicas().map(({ replica, isAlive, shards, about }) => {
        return { id: replica, isAlive, shards, http: typeof about.http === 'string' ? about.http : null };
      }),
      shards: names.flatMap((shard) => {
        const shadow = runtime.shadow(shard);
        if (shadow === undefined) return [];
        return [{ shard, owner: shadow.owner ?? null, epoch: shadow.epoch, seq: shadow.seq, isFrozen: runtime.isFrozen(shard) }];
      }),
      pools: this.pools().pools,
    };
  }

  pools(): PoolListAnswer {
    const record = this.config;
    if (record === undefined) return { ok: true, pools: [] };
    return { ok: true, pools: Object.keys(record.config.pools).map((pool) => this.#pool(record, pool)) };
  }

  slots(filter: SlotFilter): SlotListAnswer {
    const { rows: slots, hasMore } = pageOf(this.#slots(filter), filter.page);
    return { ok: true, slots, page: filter.page, hasMore };
  }

  reservations(filter: Omit<SlotFilter, 'state'>): ReservationListAnswer {
    const live = this.#slots(filter).filter(({ reservation }) => reservation !== null);
    const { rows, hasMore } = pageOf(live, filter.page);
    const reservations = rows.map(({ reservation, slot, pool, org, epoch, state, ageMs, endpoint, isUnreachable }): ReservationSummary => {
      const inner = state === 'reserved.activating' ? 'activating' : 'active';
      return { id: reservation ?? '', slot, pool, org, epoch, state: inner, ageMs, endpoint, isUnreachable };
    });
    return { ok: true, reservations, page: filter.page, hasMore };
  }

  #slots(filter: Omit<SlotFilter, 'page'>): readonly SlotSummary[] {
    const rows: SlotSummary[] = [];
    for (const shadow of this.#shadows(filter.pool)) {
      for (const stored of shadow.list(slotKind)) {
        const { context } = stored.value;
        const state = slotStateName(stored.value.state);
        if (filter.state !== undefined && filter.state !== state) continue;
        if (filter.org !== undefined && filter.org !== context.org) continue;
        rows.push({
          slot: context.id,
          pool: context.pool,
          shard: context.shard,
          state,
          ageMs: Math.max(0, Math.round(this.#options.clock.wallMs() - stored.stateSinceMs)),
          org: context.org,
          epoch: context.epoch,
          reservation: context.reservation?.id ?? null,
          intent: context.intent,
          host: context.host,
          pid: context.handle?.pid ?? null,
          endpoint: context.endpoint,
          isUnreachable: this.#cut(shadow.shard)?.silent.includes(context.id) ?? false,
          reason: context.reason === null ? null : [context.reason, context.detail].filter(Boolean).join(': '),
        });
      }
    }
    return rows.sort((a, b) => (a.slot < b.slot ? -1 : 1));
  }

  orgs(page: number): OrgListAnswer {
    const specs = this.config?.config.orgs ?? {};
    const byOrg = this.#countsByOrg(undefined);
    for (const org of Object.keys(specs)) if (!byOrg.has(org)) byOrg.set(org, new Map());
    const rows = [...byOrg].sort(([a], [b]) => (a < b ? -1 : 1));
    const { rows: shown, hasMore } = pageOf(rows, page);
    const orgs = shown.map(([org, pools]) => ({
      org,
      max: specs[org]?.max ?? 0,
      weight: specs[org]?.weight ?? 1,
      pools: [...pools].map(([pool, counts]) => ({ pool, ...counts })),
    }));
    return { ok: true, orgs, page, hasMore };
  }

  hosts(): HostListAnswer {
    return { ok: true, hosts: this.#options.drivers.flatMap((driver) => driver.describe()) };
  }

  intents(filter: { readonly pool?: string | undefined; readonly limit: number }): IntentListAnswer {
    const shadow = this.#options.runtime.shadow(JANITOR_SHARD);
    const all = shadow === undefined ? [] : [...shadow.list(intentKind)].map((stored) => stored.value);
    const chosen = all.filter((intent) => filter.pool === undefined || intent.pool === filter.pool).reverse();
    return {
      ok: true,
      intents: chosen.slice(0, Math.min(filter.limit, ADMIN_LIMITS.intentsMax)).map((intent) => ({
        n: intent.n,
        pool: intent.pool,
        kind: intent.kind,
        decidedAtMs: intent.decidedAtMs,
        inputs: mapParts(intent.parts, (part) => part.inputs),
        slots: mapParts(intent.parts, (part) => (intent.kind === 'down' ? part.drain : part.start)),
        applied: Object.fromEntries(
          Object.keys(intent.parts).flatMap((shard) => {
            const applied = this.#options.runtime.shadow(shard)?.get(appliedKind, String(intent.n))?.value;
            return applied === undefined ? [] : [[shard, applied]];
          }),
        ),
      })),
    };
  }

  /** @throws MusterError `not-found` */
  explain({ of, org }: { readonly of: string; readonly org?: string | undefined }): ExplainAnswer {
    const record = this.config;
    const nowMs = this.#options.clock.wallMs();
    const spec = ownOf(record?.config.pools, of);
    if (record !== undefined && spec !== undefined) {
      const says = explainPool(this.#pool(record, of), spec, this.intents({ pool: of, limit: EXPLAINED_INTENTS }).intents, nowMs);
      return { ok: true, of, kind: 'pool', says: org === undefined ? says : [this.#explainOrg(org, of), ...says] };
    }
    const id = trySlotOf(of) ?? of;
    const shard = tryShardOf(id) ?? '';
    const stored = this.#options.runtime.shadow(shard)?.get(slotKind, id);
    if (stored === undefined) throw new MusterError('not-found', `there is no pool, slot or reservation ${of}`, { field: 'of' });
    const { context } = stored.value;
    const at = {
      state: slotStateName(stored.value.state),
      forMs: Math.max(0, nowMs - stored.stateSinceMs),
      isUnreachable: this.#cut(shard)?.silent.includes(id) ?? false,
    };
    const intent = this.intents({ limit: ADMIN_LIMITS.intentsMax, pool: context.pool }).intents.find(({ n }) => n === context.intent);
    const says = explainSlot(context, at, record?.config, intent, nowMs);
    const isOver = of !== id && context.reservation?.id !== of;
    return { ok: true, of, kind: 'slot', says: isOver ? [`reservation ${of} is over`, ...says] : says };
  }

  #explainOrg(org: string, pool: string): string {
    const counts = this.#countsByOrg(pool).get(org)?.get(pool) ?? { reserved: 0, parked: 0, waiting: 0 };
    return explainOrg(org, ownOf(this.config?.config.orgs, org)?.max ?? 0, counts);
  }

  /** What each org has, by pool: of all pools, or of one. */
  #countsByOrg(only: string | undefined): Map<string, Map<string, OrgCounts>> {
    const byOrg = new Map<string, Map<string, OrgCounts>>();
    const entry = (org: string, pool: string): OrgCounts => {
      const pools = byOrg.get(org) ?? new Map<string, OrgCounts>();
      byOrg.set(org, pools);
      const counts = pools.get(pool) ?? { reserved: 0, parked: 0, waiting: 0 };
      pools.set(pool, counts);
      return counts;
    };
    for (const shadow of this.#shadows(only)) {
      for (const { value } of shadow.list(slotKind)) {
        const state = slotStateName(value.state);
        if (value.context.org === null || !countsForOrg(state)) continue;
        entry(value.context.org, value.context.pool)[state === 'reserved.parked' ? 'parked' : 'reserved'] += 1;
      }
      const cut = this.#cut(shadow.shard);
      for (const [org, waiting] of Object.entries(cut?.waitingOf ?? {})) entry(org, cut?.pool ?? '').waiting += waiting;
    }
    return byOrg;
  }

  #pool(record: ConfigRecord, pool: string): PoolSummary {
    const spec = record.config.pools[pool];
    if (spec === undefined) throw new Error(`pool ${pool} is not in the configuration`);
    const shards = shardsOf(pool, spec.shards);
    const cuts = shards.flatMap((shard) => this.#cut(shard) ?? []);
    const sum = (number: (cut: Cut) => number): number => cuts.reduce((total, cut) => total + number(cut), 0);
    const [first] = cuts;
    const hold = this.#options.runtime.shadow(JANITOR_SHARD)?.get(holdKind, pool);
    const open = cuts.find((cut) => cut.breaker.isOpen);
    return {
      pool,
      driver: spec.driver,
      shards,
      floor: spec.floor,
      max: spec.max,
      capacity: first === undefined ? { kind: 'unknown', why: 'its shard has not reported yet' } : summed(first, cuts),
      recycle: spec.recycle,
      templateHash: spec.templateHash,
      isHeld: hold !== undefined,
      isPaused: this.#options.runtime.shadow(JANITOR_SHARD)?.get(pauseKind, pool) !== undefined,
      holdLeftMs: hold === undefined ? null : Math.max(0, hold.value.holdMs - (this.#options.clock.wallMs() - hold.changedAtMs)),
      isBreakerOpen: open !== undefined,
      breakerReason: open?.breaker.reason ?? null,
      waiting: sum((cut) => cut.waiting),
      refused: sum((cut) => cut.refused),
      warm: sum((cut) => cut.warm),
      spawning: sum((cut) => cut.spawning),
      reserved: sum((cut) => cut.reserved),
      parked: sum((cut) => cut.parked),
      draining: sum((cut) => cut.draining),
      unreachable: sum((cut) => cut.unreachable),
    };
  }

  #cut(shard: string): Cut | undefined {
    return this.#options.cuts.get(shard);
  }

  #shards(pool?: string): readonly string[] {
    const record = this.config;
    if (record === undefined) return [];
    const specs = Object.values({ ...record.retired, ...record.config.pools });
    return specs.filter((spec) => pool === undefined || spec.name === pool).flatMap((spec) => shardsOf(spec.name, spec.shards));
  }

  #shadows(pool: string | undefined): readonly Shadow[] {
    return this.#shards(pool).flatMap((shard) => this.#options.runtime.shadow(shard) ?? []);
  }
}

function pageOf<T>(rows: readonly T[], page: number): { readonly rows: readonly T[]; readonly hasMore: boolean } {
  const from = page * ADMIN_LIMITS.pageRows;
  return { rows: rows.slice(from, from + ADMIN_LIMITS.pageRows), hasMore: rows.length > from + ADMIN_LIMITS.pageRows };
}

function mapParts<P, T>(parts: Readonly<Record<string, P>>, map: (part: P) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(parts).map(([shard, part]) => [shard, map(part)]));
}

function summed(first: Cut, cuts: readonly Cut[]): PoolSummary['capacity'] {
  if (first.capacity.kind !== 'bounded') return first.capacity;
  const max = cuts.reduce((total, cut) => total + (cut.capacity.kind === 'bounded' ? cut.capacity.max : 0), 0);
  return { ...first.capacity, max };
}
