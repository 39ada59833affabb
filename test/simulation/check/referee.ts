// Looks on from outside, holds what it sees to G1–G9, and knows nothing of how the product works inside.
import type { LogFields } from '@muster/ports';
import { type Reservation as Grant, type ReserveAnswer, subjects } from '@muster/protocol';
import type { ActivationContext } from '@muster/worker';
import type { BusWitness } from '../world/observed-bus.ts';
import type { ClientRequest, ClientWitness } from '../world/sim-client.ts';
import type { SimWorker, WorkerWitness } from '../world/sim-worker.ts';
import type { World } from '../world/world.ts';
import { DemandChecker } from './demand-checker.ts';
import { GateChecker } from './gate-checker.ts';
import { JournalChecker } from './journal-checker.ts';
import { Verdict } from './verdict.ts';

/** What the product says of itself only when something in it is broken. */
const DEFECTS = [
  'a turn failed; it changed nothing',
  'what waited for a record threw',
  'an actor threw twice on one event',
  'the session of a shard threw when it was closed',
  'a cut cannot be read',
  'a beat cannot be read',
  'a worker said something that cannot be read',
  'a worker spoke with a wrong token',
];

export class Referee implements BusWitness, ClientWitness, WorkerWitness {
  readonly verdict: Verdict;
  readonly journal: JournalChecker;
  readonly #gate: GateChecker;
  readonly demand: DemandChecker;
  readonly #world: World;
  /** What each request was told that it has. */
  readonly #told = new Map<string, string>();
  #subscriptions = 0;

  constructor(world: World) {
    this.#world = world;
    const nowMs = (): number => world.clock.monotonicMs();
    this.verdict = new Verdict(nowMs);
    this.journal = new JournalChecker(this.verdict, {
      nowMs,
      isGone: (slot) => world.yard.isGone(slot),
      isOutOfSight: (slot) => world.yard.residents.get(slot)?.isOutOfSight === true,
      dirtyOf: (slot) => {
        const resident = world.yard.residents.get(slot);
        return resident?.exit === undefined ? resident?.worker?.dirtyOf : undefined;
      },
      rateMax: 1 + world.plan.drift,
      isWell: (name, forMs, ignored) => world.troubles.isWell(name, forMs, ignored),
      isAlive: (name) => world.machines.some((machine) => machine.name === name),
    });
    this.#gate = new GateChecker(this.journal, this.verdict, {
      nowMs,
      hasActivated: (slot, reservation) => world.yard.worker(slot)?.activated.has(reservation) === true,
    });
    this.demand = new DemandChecker(this.journal, this.verdict, {
      nowMs,
      wallMs: (replica) => world.replicas.findLast(({ name }) => name === replica)?.machine.clock.wallMs(),
    });
  }

  // --- replicas ----------------------------------------------------------------------------------------------------

  said(replica: string, subject: string, data: Uint8Array): void {
    if (subject.startsWith('muster.v1.miss.')) this.demand.cut(data);
    else this.#gate.said(replica, subject, data);
  }
  subscribed(replica: string, subject: string): number {
    this.#subscriptions += 1;
    if (subject === subjects.misses()) this.demand.listens(replica, this.#subscriptions);
    return this.#subscriptions;
  }
  received(replica: string, subscription: number, subject: string, data: Uint8Array): number {
    if (subject.startsWith('muster.v1.miss.')) this.demand.delivered(replica, subscription, data);
    return this.#gate.received(subject);
  }
  answered(replica: string, subject: string, question: Uint8Array, arrival: number, answer: Uint8Array): void {
    this.#gate.answered(replica, subject, question, arrival, answer);
  }

  logged(replica: string, message: string, fields: LogFields): void {
    if (DEFECTS.includes(message)) this.verdict.broken('defect', `${replica}: ${message}: ${describe(fields)}`);
  }

  called(replica: string, call: 'create' | 'destroy', slot: string): void {
    if (this.journal.isLossy) return;
    const folded = this.journal.slot(slot);
    if (call === 'create') {
      if (!this.journal.slotsEver.has(slot)) this.verdict.broken('G2', `${replica} starts ${slot}, which is not durable`);
    } else if (folded !== undefined && folded.state !== 'draining') {
      this.verdict.broken('G2', `${replica} stops ${slot}, which is ${folded.state}`);
    } else if (folded === undefined && !this.journal.slotsEver.has(slot)) {
      this.verdict.broken('G6', `${replica} removes ${slot}, which never was`);
    }
  }

  // --- workers -----------------------------------------------------------------------------------------------------

  began(pool: string): void {
    if (this.journal.isLossy) return;
    let most = 0;
    for (const { config } of this.journal.configs.values()) {
      const max = config.pools[pool]?.max ?? 0;
      if (max === 0) return;
      most = Math.max(most, max);
    }
    const running = this.#world.yard.running.filter(({ spec }) => spec.pool === pool).length;
    if (running > most) this.verdict.broken('G4', `${running} workers of ${pool} run, its cap is ${most}`);
  }

  activating(worker: SimWorker, { org, reservation, pool }: ActivationContext): void {
    const { slot, dirtyOf, orgs } = worker;
    if (dirtyOf !== undefined && dirtyOf !== org) {
      this.verdict.broken('G8', `${slot} is activated for ${org} (${reservation}), and has the data of ${dirtyOf}`);
    }
    const spec = this.journal.config?.config.pools[pool];
    const isShared = [...this.journal.configs.values()].some(({ config }) => config.pools[pool]?.recycle === 'shared');
    if (spec !== undefined && !isShared && orgs.size > 0 && !orgs.has(org)) {
      this.verdict.broken('G8', `${slot} is activated for ${org}, has served ${[...orgs].join()}, and ${pool} is not shared`);
    }
  }

  destroying(slot: string): void {
    const folded = this.journal.slot(slot);
    if (folded !== undefined && folded.state !== 'draining' && !this.journal.isLossy) {
      this.verdict.broken('G7', `the worker of ${slot} is taken, which is ${folded.state}`);
    }
  }

  // --- clients -----------------------------------------------------------------------------------------------------

  asked(request: ClientRequest): void {
    this.demand.asked(request);
  }

  told(request: ClientRequest, answer: ReserveAnswer | undefined): void {
    this.demand.settled(request, answer?.ok === false && 'miss' in answer ? answer.miss.retryAfterMs : 0);
    if (answer?.ok !== true || this.journal.isLossy) return;
    const { org, pool, requestId } = request;
    const { id } = answer.reservation;
    const issue = this.journal.issues.get(id);
    if (issue === undefined) return this.verdict.broken('G2', `${org} is told that it has ${id}, which is not durable`);
    if (request.isKept) issue.holder = request.client;
    if (issue.org !== org) this.verdict.broken('G1', `${org} is told that it has ${id}, which is ${issue.org}'s`);
    if (requestId === undefined) return;
    const key = `${pool} ${org} ${requestId}`;
    const other = this.#told.get(key);
    if (other !== undefined && other !== id) this.verdict.broken('G1', `${requestId} of ${org} is told ${id}, and was told ${other}`);
    this.#told.set(key, id);
  }

  lost(request: ClientRequest, { id }: Grant, reason: string): void {
    const issue = this.journal.issues.get(id);
    if (issue !== undefined) issue.isLetGo = true;
    if (issue !== undefined && issue.ended === undefined && !this.journal.isLossy) {
      this.verdict.broken('G7', `${request.org} is told that ${id} is lost (${reason}), which is live`);
    }
  }

  letGo(_request: ClientRequest, { id }: Grant): void {
    const issue = this.journal.issues.get(id);
    if (issue !== undefined) issue.isLetGo = true;
  }

  used(request: ClientRequest, { id, slot, token }: Grant): void {
    const worker = this.#world.yard.worker(slot);
    if (worker === undefined || !worker.machine.isAlive) return;
    if (worker.serves(token)) {
      if (worker.dirtyOf !== request.org) {
        this.verdict.broken('G1', `${slot} serves ${request.org} by ${id}, and has the data of ${worker.dirtyOf}`);
      }
      return;
    }
    const folded = this.journal.slot(slot);
    if (folded?.reservation?.id === id && !this.journal.isLossy) {
      this.verdict.broken('G7', `${slot} (${folded.state}) does not serve ${request.org}, whose ${id} is live`);
    }
  }
}

function describe(fields: LogFields): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? (value.stack ?? value.message) : String(value)}`)
    .join(' ');
}
