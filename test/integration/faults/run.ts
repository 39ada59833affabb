// One run of the fault suite: a cluster of real processes, tenants that never stop, one fault after the other, a verdict.
//
//   F1. A fault is injected when every tenant has been served since the last one: faults do not add up, outages can be told
//       apart, and whoever is not served within `PATIENCE_MS` of a healed cluster is a finding.
//   F2. The order and the choices of the faults follow from the seed; when what happens does not.
import { writeFile } from 'node:fs/promises';
import { setTimeout as passed } from 'node:timers/promises';
import type { Intended } from '@muster/cli';
import { SeededRandom } from '@muster/ports';
import type { IntentSummary } from '@muster/protocol';
import { eventually, type NatsServerBinary } from '@muster/testkit';
import { type Cluster, duckdbPool, startCluster } from '../support/cluster.ts';
import { History } from '../support/history.ts';
import { FAULTS, type Fault, LAME_DUCK_CONFIG } from './faults.ts';
import { type FaultRow, longestGap } from './report.ts';
import { PATIENCE_MS, Tenant, type TenantKind } from './tenants.ts';

export interface FaultRunOptions {
  readonly servers: 1 | 3;
  readonly nats?: NatsServerBinary;
  readonly seed: number;
  /** Goes on with faults for so long; each is injected once at least. */
  readonly durationMs: number;
  /** Names of those to inject; default: all. */
  readonly only?: readonly string[];
  /** Where the history goes, a line of JSON for each event. */
  readonly historyFile?: string;
  readonly say?: (line: string) => void;
}

export interface FaultReport {
  readonly seed: number;
  readonly rows: readonly FaultRow[];
  /** Lines of the history. */
  readonly operations: number;
  readonly grants: number;
  readonly refusals: number;
  readonly tookMs: number;
  /** What must not be, in words. */
  readonly violations: readonly string[];
}

const CAPS = { pools: { scarce: 3, sql: 4 }, orgs: { capped: 2 } } as const;
const FLOORS = { plenty: 6, sql: 2 } as const;
const WORKER = { memory: '1MiB' };
const POOLS = {
  /** Grows with its tenants. */
  plenty: { driver: 'simulated', floor: FLOORS.plenty, worker: WORKER },
  /** Fewer workers than tenants: they wait for each other, and each worker goes from one to the next. */
  scarce: { driver: 'simulated', floor: 3, max: CAPS.pools.scarce, recycle: 'shared', worker: WORKER },
  /** Processes, with data in them. */
  sql: duckdbPool({ floor: FLOORS.sql, max: CAPS.pools.sql, parkedTtl: '2s' }),
};
const TENANTS: readonly { readonly kind: TenantKind; readonly pool: keyof typeof POOLS; readonly count: number; readonly org?: string }[] =
  [
    { kind: 'plain', pool: 'plenty', count: 3 },
    { kind: 'client', pool: 'plenty', count: 2 },
    { kind: 'plain', pool: 'plenty', count: 3, org: 'capped' },
    { kind: 'hasty', pool: 'plenty', count: 2 },
    { kind: 'leaver', pool: 'plenty', count: 1 },
    { kind: 'keeper', pool: 'plenty', count: 3 },
    { kind: 'plain', pool: 'scarce', count: 3 },
    { kind: 'client', pool: 'scarce', count: 2 },
    { kind: 'hasty', pool: 'scarce', count: 1 },
    { kind: 'sql', pool: 'sql', count: 2 },
  ];
/** Rounds of every tenant between two faults. */
const ROUNDS = 2;
const LOOK_MS = 250;

/** Runs it to its end; whatever went wrong is in the report. @throws where the cluster does not even start */
export async function runFaults(options: FaultRunOptions): Promise<FaultReport> {
  const beganMs = performance.now();
  const { servers, seed, say = () => undefined } = options;
  await using cluster = await startCluster({
    servers,
    ...(options.nats === undefined ? {} : { nats: options.nats }),
    natsConfig: LAME_DUCK_CONFIG,
    host: 'both',
    hasLinks: true,
    isShared: true,
    pools: POOLS,
    orgs: { capped: { max: CAPS.orgs.capped } },
  });
  const history = new History();
  const run = new FaultRun(cluster, history, say);
  const rows: FaultRow[] = [];
  try {
    await run.begin();
    const source = new SeededRandom(seed);
    const random = (): number => source.next();
    const wanted = FAULTS.filter(({ name }) => options.only === undefined || options.only.includes(name));
    for (let pass = 0; (pass === 0 || performance.now() - beganMs < options.durationMs) && run.isSound; pass++) {
      for (const fault of shuffled(wanted, random)) {
        if (pass > 0 && performance.now() - beganMs >= options.durationMs) break;
        rows.push(await run.inject(fault, random));
        if (!run.isSound) break;
      }
    }
  } catch (error) {
    run.found(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const violations = await run.end();
  if (options.historyFile !== undefined) {
    await writeFile(options.historyFile, `${history.events.map((event) => JSON.stringify(event)).join('\n')}\n`);
  }
  if (violations.length > 0) say(cluster.report());
  return {
    seed,
    rows,
    operations: history.events.length,
    grants: history.count('granted'),
    refusals: history.count('refused'),
    tookMs: performance.now() - beganMs,
    violations,
  };
}

class FaultRun {
  readonly #cluster: Cluster;
  readonly #history: History;
  readonly #say: (line: string) => void;
  readonly #tenants: Tenant[] = [];
  readonly #found: string[] = [];
  readonly #watching = new AbortController();
  #watch: Promise<void> = Promise.resolve();

  constructor(cluster: Cluster, history: History, say: (line: string) => void) {
    this.#cluster = cluster;
    this.#history = history;
    this.#say = say;
  }

  get isSound(): boolean {
    return this.#found.length === 0 && this.#failures().length === 0;
  }

  found(what: string): void {
    this.#found.push(what);
  }

  async begin(): Promise<void> {
    await this.#cluster.warm('plenty', FLOORS.plenty);
    await this.#cluster.warm('sql', FLOORS.sql);
    const world = { cluster: this.#cluster, history: this.#history };
    for (const { kind, pool, count, org } of TENANTS) {
      for (let n = 0; n < count; n++) {
        this.#tenants.push(new Tenant(world, { kind, pool, n: this.#tenants.length, ...(org === undefined ? {} : { org }) }));
      }
    }
    this.#watch = this.#look();
    await this.#served();
  }

  async inject(fault: Fault, random: () => number): Promise<FaultRow> {
    const fromMs = now();
    const { what, heal } = await fault.inject({ cluster: this.#cluster, history: this.#history, random });
    this.#history.note({ type: 'fault', fault: fault.name, what });
    await heal?.();
    await this.#served();
    const toMs = now();
    const outageMs = longestGap(this.#history.events, fromMs, toMs);
    this.#say(`${fault.name} (${what}): outage ${Math.round(outageMs)} ms, all served again after ${Math.round(toMs - fromMs)} ms`);
    return { fault: fault.name, outageMs, operations: this.#history.events.filter(({ atMs }) => atMs >= fromMs).length };
  }

  /** Lets everybody come to an end. @returns what must not be */
  async end(): Promise<readonly string[]> {
    await Promise.all(this.#tenants.map((tenant) => tenant.stop()));
    this.#watching.abort();
    await this.#watch;
    const found = [...this.#found, ...this.#failures()];
    const beganMs = now();
    let left: readonly string[] = [];
    try {
      await eventually(
        async () => {
          left = await this.#judge().catch((error: unknown) => [String(error)]);
          if (left.length > 0) this.#say(`not yet, after ${Math.round(now() - beganMs)} ms: ${left.length} (${left[0]})`);
          return left.length === 0;
        },
        { timeoutMs: PATIENCE_MS, everyMs: 1_000 },
      );
    } catch {
      return [...found, ...left];
    }
    return found;
  }

  /** Resolves when every tenant has come through so many more rounds. */
  async #served(): Promise<void> {
    const wanted = this.#tenants.map(({ rounds }) => rounds + ROUNDS);
    const giveUpAtMs = now() + PATIENCE_MS;
    for (;;) {
      const behind = this.#tenants.filter(({ rounds }, at) => rounds < (wanted[at] ?? 0));
      if (behind.length === 0 || this.#failures().length > 0) return;
      if (now() > giveUpAtMs) throw new Error(`not served for ${PATIENCE_MS} ms: ${behind.map(({ name }) => name).join(', ')}`);
      await passed(20);
    }
  }

  #failures(): readonly string[] {
    return this.#tenants.flatMap(({ failure }) => failure ?? []);
  }

  /** Looks at the pools all the time, as any replica shows them. */
  async #look(): Promise<void> {
    while (!this.#watching.signal.aborted) {
      try {
        const { pools } = await this.#cluster.admin({ type: 'pools' });
        for (const { pool, warm, spawning, reserved, parked, draining } of pools) {
          this.#history.note({ type: 'seen', pool, alive: warm + spawning + reserved + parked + draining });
        }
      } catch {
        // Nobody answers now; there is nothing to see.
      }
      await passed(LOOK_MS);
    }
  }

  async #judge(): Promise<readonly string[]> {
    const slots = (await Promise.all(Object.keys(POOLS).map((pool) => this.#cluster.slots(pool)))).flat();
    const live = slots.flatMap(({ slot, epoch, reservation }) => (reservation === null ? [] : [{ slot, epoch }]));
    const { intents } = await this.#cluster.admin({ type: 'intents' });
    const said = [...this.#history.violations({ live, intents: intents.flatMap(intendedBy), caps: CAPS })];
    const running = new Set(await this.#cluster.runningSlots());
    const known = new Set(slots.map(({ slot }) => slot));
    for (const slot of running.difference(known)) said.push(`leaked: a worker runs for ${slot}, which is no slot`);
    for (const { slot, state } of slots) {
      if (state !== 'spawning' && state !== 'draining' && !running.has(slot)) said.push(`leaked: ${slot} is ${state} and no worker runs`);
    }
    for (const pool of ['plenty', 'sql'] as const) {
      const { warm } = await this.#cluster.pool(pool);
      if (warm < FLOORS[pool]) said.push(`${pool} has ${warm} warm`);
    }
    return said;
  }
}

/** Decisions to start workers for what is missed; surge and probes come on top by design. */
function intendedBy({ n, pool, kind, decidedAtMs, inputs, slots }: IntentSummary): readonly Intended[] {
  if (kind !== 'demand') return [];
  const numbers = Object.values(inputs as Readonly<Record<string, Inputs>>);
  const sum = (of: (one: Inputs) => number): number => numbers.reduce((total, one) => total + of(one), 0);
  return [
    {
      pool,
      n,
      atMs: decidedAtMs,
      start: Object.values(slots).reduce((total, one) => total + one, 0),
      floor: sum(({ floor }) => floor),
      waiting: sum(({ waiting }) => waiting),
      refused: sum(({ refused }) => refused),
      supply: sum(({ warm, spawning, ordered }) => warm + spawning + ordered),
    },
  ];
}

interface Inputs {
  readonly floor: number;
  readonly waiting: number;
  readonly refused: number;
  readonly warm: number;
  readonly spawning: number;
  readonly ordered: number;
}

/** On the clock of the history. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function shuffled<T>(all: readonly T[], random: () => number): readonly T[] {
  return all
    .map((one) => ({ one, at: random() }))
    .toSorted((left, right) => left.at - right.at)
    .map(({ one }) => one);
}
