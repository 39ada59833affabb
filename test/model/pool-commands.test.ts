// Random commands against the whole pool on the memory twins, several under way at once, held against a small model.
import { BUDGETS } from '@muster/domain';
import { type RefResult, type ReserveAnswer, subjects } from '@muster/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryCluster } from '../pool/memory-cluster.ts';
import { type ModelRequest, PoolModel } from './pool-model.ts';

const CAPS = { pool: 4, org: 2 };
const CONFIG = `
pools: { demo: { driver: simulated, floor: 2, max: ${CAPS.pool}, recycle: RECYCLE, leaseTtl: 10m, parkedTtl: 10m, waitMax: 10s } }
orgs: { acme: { max: ${CAPS.org} }, beta: { max: ${CAPS.org} }, gamma: { max: ${CAPS.org} } }
`;
const ORGS = ['acme', 'beta', 'gamma'];
const REQUESTS_MAX = 8;
/** Longer than any answer takes, a takeover and all tries included. */
const SETTLED_MS = 60_000;

interface Real {
  readonly cluster: MemoryCluster;
  readonly scheduler: fc.Scheduler;
  /** What is under way. */
  readonly open: Set<Promise<void>>;
  /** What an answer broke. */
  readonly broken: unknown[];
}

/** Sends when the scheduler says so: in another order than it was asked for, and beside what is under way. */
function begin(real: Real, label: string, ask: () => Promise<void>): void {
  const asked = real.scheduler
    .schedule(Promise.resolve(), label)
    .then(ask)
    .catch((error: unknown) => void real.broken.push(error))
    .finally(() => real.open.delete(asked));
  real.open.add(asked);
}

abstract class Command implements fc.AsyncCommand<PoolModel, Real> {
  check(): boolean {
    return true;
  }
  abstract run(model: PoolModel, real: Real): Promise<void>;
  abstract toString(): string;
}

class Reserve extends Command {
  readonly #what: { readonly n: number; readonly waitMs: number };
  constructor(what: { readonly n: number; readonly waitMs: number }) {
    super();
    this.#what = what;
  }
  async run(model: PoolModel, real: Real): Promise<void> {
    const { n, waitMs } = this.#what;
    begin(real, String(this), async () => {
      const org = ORGS[n % ORGS.length] ?? '';
      const request = model.request(`r${n}`, org);
      const before = { ...request };
      const asked = { org, requestId: request.id, waitMs, activation: { n } };
      const answer = (await askUntilAnswered(real, subjects.reserve('demo'), asked)) as ReserveAnswer;
      model.reserved(request, answer, before);
    });
  }
  toString(): string {
    return `reserve r${this.#what.n} waiting ${this.#what.waitMs}`;
  }
}

/** Done to a request that was given something. */
abstract class OnHeld extends Command {
  readonly n: number;
  constructor(n: number) {
    super();
    this.n = n;
  }
  async run(model: PoolModel, real: Real): Promise<void> {
    begin(real, String(this), async () => {
      const request = model.requests.get(`r${this.n}`);
      if (request?.given !== undefined) await this.act(model, real, request, request.given);
    });
  }
  abstract act(model: PoolModel, real: Real, request: ModelRequest, given: NonNullable<ModelRequest['given']>): Promise<void>;
}

class Renew extends OnHeld {
  async act(model: PoolModel, real: Real, request: ModelRequest, { id, epoch }: NonNullable<ModelRequest['given']>): Promise<void> {
    model.renewed(request, await settle(real, subjects.renew(), { id, epoch }));
  }
  toString(): string {
    return `renew r${this.n}`;
  }
}

class Release extends OnHeld {
  async act(model: PoolModel, real: Real, request: ModelRequest, { id, epoch }: NonNullable<ModelRequest['given']>): Promise<void> {
    const isOnly = !request.isEnding;
    request.isEnding = true;
    model.ended(request, await settle(real, subjects.release(), { id, epoch }), isOnly && !request.isOver);
  }
  toString(): string {
    return `release r${this.n}`;
  }
}

class Crash extends OnHeld {
  async act(_model: PoolModel, { cluster }: Real, request: ModelRequest, { slot, id }: NonNullable<ModelRequest['given']>): Promise<void> {
    // Its own worker, and nobody else's: the slot may have gone on.
    if (request.isEnding || cluster.slots().find((one) => one.slot === slot)?.reservation !== id) return;
    request.isEnding = true;
    cluster.driver.crash(slot);
  }
  toString(): string {
    return `crash the worker of r${this.n}`;
  }
}

class Cancel extends Command {
  readonly #n: number;
  constructor(n: number) {
    super();
    this.#n = n;
  }
  async run(model: PoolModel, real: Real): Promise<void> {
    begin(real, String(this), async () => {
      const request = model.request(`r${this.#n}`, ORGS[this.#n % ORGS.length] ?? '');
      request.isEnding = true;
      const answer = await askUntilAnswered(real, subjects.cancel(), { pool: 'demo', org: request.org, requestId: request.id });
      model.ended(request, (answer as { readonly ok: boolean }).ok ? 'done' : JSON.stringify(answer), false);
    });
  }
  toString(): string {
    return `cancel r${this.#n}`;
  }
}

class KillOwner extends Command {
  async run(_model: PoolModel, { cluster }: Real): Promise<void> {
    const owner = cluster.ownerOf('demo');
    if (owner === undefined || cluster.replicas.length < 2) return;
    cluster.kill(owner);
    await cluster.addReplica();
  }
  toString(): string {
    return 'kill the owner';
  }
}

class Pass extends Command {
  readonly #ms: number;
  constructor(ms: number) {
    super();
    this.#ms = ms;
  }
  async run(_model: PoolModel, { cluster }: Real): Promise<void> {
    await cluster.clock.run(this.#ms);
  }
  toString(): string {
    return `pass ${this.#ms} ms`;
  }
}

/** The same again where nobody answers, or the outcome is not known. */
async function askUntilAnswered({ cluster }: Real, subject: string, body: unknown): Promise<unknown> {
  for (;;) {
    try {
      const answer = (await cluster.ask(subject, body)) as { readonly ok: boolean; readonly error?: { readonly code: string } };
      if (answer.ok || !['timeout', 'retry-elsewhere', 'no-responders'].includes(answer.error?.code ?? '')) return answer;
    } catch {
      await new Promise<void>((resolve) => void cluster.clock.setTimer(BUDGETS.retryHintMs, resolve));
    }
  }
}

/** Whoever was refused takes back its id: a copy of its request that was late may be granted yet (decision 0013). */
function takeBackRefused(model: PoolModel, real: Real): void {
  for (const { id, org, given, isOver } of model.requests.values()) {
    if (given !== undefined || isOver) continue;
    const cancelled = askUntilAnswered(real, subjects.cancel(), { pool: 'demo', org, requestId: id }).then(
      () => void real.open.delete(cancelled),
    );
    real.open.add(cancelled);
  }
}

async function settle(real: Real, subject: string, ref: { readonly id: string; readonly epoch: number }): Promise<string> {
  const answer = (await askUntilAnswered(real, subject, [ref])) as { readonly results?: readonly RefResult[] };
  const [result] = answer.results ?? [];
  if (result === undefined) return JSON.stringify(answer);
  return result.ok ? 'done' : (result.error.reason ?? result.error.code);
}

const n = fc.nat(REQUESTS_MAX - 1);
const commands = [
  fc.record({ n, waitMs: fc.constantFrom(0, 500, 8_000) }).map((what) => new Reserve(what)),
  fc.record({ n, waitMs: fc.constantFrom(0, 500, 8_000) }).map((what) => new Reserve(what)),
  n.map((of) => new Renew(of)),
  n.map((of) => new Release(of)),
  n.map((of) => new Release(of)),
  n.map((of) => new Cancel(of)),
  n.map((of) => new Crash(of)),
  fc.constant(new KillOwner()),
  fc.integer({ min: 1, max: 3_000 }).map((ms) => new Pass(ms)),
  fc.integer({ min: 1, max: 50 }).map((ms) => new Pass(ms)),
];

test.each(['same-org', 'shared', 'single-use'])(
  'recycle %s: whatever is asked at once, everybody is told what the model allows',
  {
    timeout: 120_000,
  },
  async (recycle) => {
    const run = async (scheduler: fc.Scheduler, todo: Iterable<fc.AsyncCommand<PoolModel, Real>>): Promise<void> => {
      const cluster = await MemoryCluster.start({ replicas: 2, config: CONFIG.replace('RECYCLE', recycle) });
      await cluster.untilWarm('demo', 2);
      const model = new PoolModel(CAPS);
      const real: Real = { cluster, scheduler, open: new Set(), broken: [] };
      await fc.scheduledModelRun(scheduler, () => ({ model, real }), todo);
      await cluster.clock.runUntil(() => real.open.size === 0);
      takeBackRefused(model, real);
      await cluster.clock.runUntil(() => real.open.size === 0);
      await cluster.clock.run(SETTLED_MS);
      expect(real.broken).toEqual([]);
      model.settled(cluster.slots().flatMap(({ reservation }) => reservation ?? []));
      expect(cluster.pool('demo')).toMatchObject({ waiting: 0, spawning: 0, draining: 0 });
      expect(
        cluster
          .slots()
          .map(({ slot }) => slot)
          .sort(),
      ).toEqual([...cluster.driver.running].sort());
    };
    await fc.assert(fc.asyncProperty(fc.scheduler(), fc.commands(commands, { size: '+1', maxCommands: 40 }), run), { numRuns: 40 });
  },
);
