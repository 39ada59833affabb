// Makes what runs agree with what the journal says, slot by slot and as a whole (level-based).
//
// Invariants:
//   L1. A worker is started only for a slot that is durably `spawning`, and stopped only for one that is durably `draining`.
//   L2. `worker.gone` is said only after the driver said that it is gone.
//   L3. A worker without a slot is removed only past the age gate, after it was journaled what is removed, and never many
//       at once.
import { BUDGETS, isHeld, type PoolSpec, type SlotEvent } from '@muster/domain';
import type { CreateOutcome, Subscription, WorkerDriver, WorkerHandle, WorkerStatus } from '@muster/ports';
import { MusterError } from '@muster/protocol';
import type { OwnedShard, Turn } from '@muster/runtime';
import type { LimitFunction } from 'p-limit';
import { sweepKind } from '../kinds.ts';
import type { Slot, SlotTable } from './slot-table.ts';
import type { Secrets, WorkerLink } from './worker-link.ts';

/** How often a worker is tried to be started that is refused for now, or by a host that may be gone for good. */
const REFUSALS_MAX = 8;
const START_RETRY = { attemptsMax: REFUSALS_MAX, firstDelayMs: 200, delayMaxMs: 5_000 } as const;
/** Where there is nowhere else, a start waits for the driver to come back: the clock of its state ends it. */
const PATIENT_RETRY = { ...START_RETRY, attemptsMax: Number.POSITIVE_INFINITY } as const;
/** After so many tries in a row without any answer the driver is away for longer: that says nothing of the worker. */
const SILENCES_MAX = 8;
/** A worker that cannot be stopped now is still there: it is tried for as long as the shard is owned. */
const STOP_RETRY = { attemptsMax: Number.POSITIVE_INFINITY, firstDelayMs: 500, delayMaxMs: 15_000 } as const;
const SWEEP_RETRY = { attemptsMax: 1, firstDelayMs: 1_000, delayMaxMs: 1_000 } as const;
const FIRST_SWEEP_MS = 2_000;
/** Stopped slots that are remembered: a start that waits for its next try must not come after the stop. */
const STOPPED_MAX = 10_000;
/** What has ended and only takes up room is removed so many at a time. */
const REMAINS_MAX = 50;
/** While somebody is silent the driver is asked this often whether it still runs. */
const SILENT_SWEEP_MS = 5_000;

export class Reconciler {
  readonly #shard: OwnedShard;
  readonly #slots: SlotTable;
  readonly #link: WorkerLink;
  readonly #driver: WorkerDriver;
  readonly #secrets: Secrets;
  readonly #spec: () => PoolSpec;
  readonly #startLimit: LimitFunction;
  readonly #starting = new Map<string, Promise<unknown>>();
  readonly #stopped = new Set<string>();
  /** Not in the last list, and nobody else would say that they are gone (contract `probe`). */
  #missing: ReadonlySet<string> = new Set();
  readonly #changed: (turn: Turn, id: string, event: SlotEvent) => void;
  #watching: Subscription | undefined;

  constructor(options: {
    readonly shard: OwnedShard;
    readonly slots: SlotTable;
    readonly link: WorkerLink;
    readonly driver: WorkerDriver;
    readonly secrets: Secrets;
    /** Shared by all shards of this replica (DESIGN 7.2). */
    readonly startLimit: LimitFunction;
    spec(): PoolSpec;
    changed(turn: Turn, id: string, event: SlotEvent): void;
  }) {
    this.#shard = options.shard;
    this.#slots = options.slots;
    this.#link = options.link;
    this.#driver = options.driver;
    this.#secrets = options.secrets;
    this.#startLimit = options.startLimit;
    this.#spec = () => options.spec();
    this.#changed = (turn, id, event) => options.changed(turn, id, event);
  }

  open(): void {
    this.#watching = this.#driver.watch((status) => {
      if (status.shard === this.#shard.shard) this.#shard.turn((turn) => this.#note(turn, status));
    });
    // The next round may be a minute off, and a tenant waits for a worker that is gone.
    this.#link.onSilent(() => this.#arm(0));
    this.#arm(FIRST_SWEEP_MS);
  }

  close(): void {
    this.#watching?.unsubscribe();
  }

  /** Makes sure that a `spawning` slot's worker is being started. */
  start(slot: Slot): void {
    const { template, templateHash, name } = this.#spec();
    if (slot.templateHash !== templateHash) {
      // The template that it was decided with is gone; what it would start is not what its record says.
      return this.#shard.turn((turn) => this.#changed(turn, slot.id, { type: 'drain.ordered', reason: 'old-template' }));
    }
    const placement = slot.host === null ? {} : { host: slot.host };
    const token = this.#secrets.slotToken(slot.id);
    let refusals = 0;
    let silences = 0;
    this.#shard.task<CreateOutcome>({
      name: `start:${slot.id}`,
      retry: this.#driver.isOnePlace === true ? PATIENT_RETRY : START_RETRY,
      run: async () => {
        if (this.#stopped.has(slot.id)) return { kind: 'exited', reason: 'stopped' };
        const creating = this.#startLimit(async () => {
          const natsCredentials = await this.#secrets.natsCredentials?.(slot.id);
          const credentials = natsCredentials === undefined ? {} : { natsCredentials };
          return this.#driver.create({ slot: slot.id, shard: slot.shard, pool: name, template, placement, token, ...credentials });
        });
        this.#starting.set(slot.id, creating);
        try {
          const outcome = await creating.catch((error: unknown) => {
            if (this.#driver.isOnePlace === true && ++silences === SILENCES_MAX) this.#hold(slot.id, String(error));
            throw error;
          });
          silences = 0;
          if (outcome.kind === 'failed' && outcome.retryable && ++refusals < REFUSALS_MAX) {
            throw new MusterError('driver-unavailable', outcome.reason);
          }
          return outcome;
        } finally {
          this.#starting.delete(slot.id);
        }
      },
      done: (turn, outcome) => {
        if (outcome.kind === 'created') this.#changed(turn, slot.id, { type: 'worker.created', handle: outcome.handle });
        else this.#changed(turn, slot.id, { type: 'spawn.failed', detail: outcome.reason });
      },
      failed: (turn, error) => this.#changed(turn, slot.id, { type: 'spawn.failed', detail: String(error) }),
    });
  }

  /** Waits as for room, until the driver says how it is with the worker. */
  #hold(id: string, detail: string): void {
    this.#shard.turn((turn) => {
      const slot = this.#slots.get(turn, id);
      if (slot?.state === 'spawning' && !isHeld(slot)) this.#changed(turn, id, { type: 'worker.held', detail });
    });
  }

  /** Makes sure that a `draining` slot's worker goes, whatever it takes. */
  stop(slot: Slot): void {
    this.#stopped.add(slot.id);
    if (this.#stopped.size > STOPPED_MAX) for (const oldest of this.#stopped) if (this.#stopped.delete(oldest)) break;
    this.#shard.task({
      name: `stop:${slot.id}`,
      retry: STOP_RETRY,
      run: async () => {
        // A create that is on its way must have ended, or it could come after the stop.
        await this.#starting.get(slot.id)?.catch(() => undefined);
        await this.#driver.destroy(slot.id, slot.handle ?? (slot.host === null ? {} : { host: slot.host }), BUDGETS.stopGraceMs);
      },
      done: (turn) => this.#gone(turn, slot.id),
      failed: (_turn, error) => this.#shard.logger.error({ slot: slot.id, error: String(error) }, 'a worker could not be stopped'),
    });
  }

  #gone(turn: Turn, id: string): void {
    this.#link.forget(id);
    this.#changed(turn, id, { type: 'worker.gone' });
  }

  /** Lets it be seen outside whose a worker is; the driver knows what is noted already. */
  noteOrg(slot: Slot): void {
    if (slot.org !== null && slot.state !== 'draining') this.#driver.noteOrg?.(slot.id, slot.handle ?? {}, slot.org);
  }

  #arm(delayMs: number): void {
    this.#shard.setTimer('sweep', delayMs, 'internal', () => this.#sweep());
  }

  #sweep(): void {
    this.#shard.task({
      name: 'sweep',
      retry: SWEEP_RETRY,
      run: () => this.#driver.list(),
      done: (turn, listed) => {
        this.#compare(turn, listed);
        this.#arm(this.#slots.silent.size > 0 ? SILENT_SWEEP_MS : BUDGETS.sweepMs);
      },
      failed: (_turn, error) => {
        this.#shard.logger.warn({ error: String(error) }, 'the driver could not list its workers');
        this.#arm(SILENT_SWEEP_MS);
      },
    });
  }

  #compare(turn: Turn, { workers, silentHosts, hosts }: Awaited<ReturnType<WorkerDriver['list']>>): void {
    const isAnswered = (host: string): boolean => (hosts === undefined ? !silentHosts.includes(host) : hosts.includes(host));
    const listed = new Map(workers.filter((worker) => worker.shard === this.#shard.shard).map((worker) => [worker.slot, worker]));
    const missing = new Set<string>();
    for (const slot of this.#slots.all(turn)) {
      const status = listed.get(slot.id);
      if (status !== undefined) this.#note(turn, status);
      this.noteOrg(slot);
      const isKnown = slot.host === null || isAnswered(slot.host);
      if (status !== undefined || !isKnown || slot.state === 'draining') continue;
      if (slot.state === 'spawning') {
        this.start(slot);
        continue;
      }
      missing.add(slot.id);
      // Not listed, and not heard of either: both have to say so before a tenant loses its worker. One that never speaks has to
      // be missing twice.
      const isLost = this.#spec().probe === undefined ? this.#slots.silent.has(slot.id) : this.#missing.has(slot.id);
      if (isLost) this.#changed(turn, slot.id, { type: 'worker.lost', detail: 'the driver does not know it any more' });
    }
    this.#missing = missing;
    const orphans = [...listed.values()].filter(
      (worker) =>
        (worker.state !== 'exited' || worker.hasRemains === true) &&
        worker.ageMs > BUDGETS.orphanAgeMs &&
        this.#slots.get(turn, worker.slot) === undefined &&
        !this.#link.isAdopted(worker.slot),
    );
    this.#remove(turn, orphans);
  }

  #remove(turn: Turn, orphans: readonly WorkerStatus[]): void {
    const ended = orphans.filter(({ state }) => state === 'exited').slice(0, REMAINS_MAX);
    const running = orphans.filter(({ state }) => state !== 'exited');
    const most = Math.max(3, Math.floor(this.#slots.alive * 0.1));
    if (running.length > most) {
      this.#shard.logger.error({ orphans: running.length, most }, 'too many workers have no slot: none is removed');
      running.length = 0;
    }
    this.#removeAll(turn, [...running, ...ended]);
  }

  #removeAll(turn: Turn, orphans: readonly WorkerStatus[]): void {
    if (orphans.length === 0) return;
    for (const { slot, handle } of orphans) turn.put(sweepKind, slot, { handle });
    turn.afterCommit(() => {
      for (const { slot, handle } of orphans) {
        this.#shard.logger.warn({ slot, handle }, 'a worker without a slot is removed');
        this.#shard.task({
          name: `sweep:${slot}`,
          retry: SWEEP_RETRY,
          run: () => this.#driver.destroy(slot, handle, BUDGETS.stopGraceMs),
          done: (later) => later.delete(sweepKind, slot),
          failed: (_later, error) =>
            this.#shard.logger.warn({ slot, error: String(error) }, 'a worker without a slot could not be removed'),
        });
      }
    });
  }

  /** What the driver says of a slot's worker. */
  #note(turn: Turn, status: WorkerStatus): void {
    const slot = this.#slots.get(turn, status.slot);
    if (slot === undefined || isAnother(slot.handle, status.handle)) return;
    const { id, state } = slot;
    // A create that is on its way may yet make another.
    if (state === 'draining' && status.isGone === true && !this.#starting.has(id)) return this.#gone(turn, id);
    if (state === 'draining') return;
    const { probe } = this.#spec();
    if (probe !== undefined && state !== 'spawning') this.#link.noteReady(id, status.isReady === true);
    const lost = (detail: string): void => this.#changed(turn, id, { type: 'worker.lost', detail });
    if (status.state === 'exited') return lost(status.reason ?? 'exited');
    // Out of sight is not gone: both have to say so before a tenant loses its worker.
    if (status.state === 'unreachable' && this.#slots.silent.has(id)) return lost(status.reason ?? 'unreachable');
    // Whoever has it keeps it until it is gone; nobody else gets it.
    const isFree = state === 'spawning' || state === 'warm' || state === 'reserved.parked';
    if (status.isLeaving === true && isFree) return lost(status.reason ?? 'its end was asked for');
    if (state !== 'spawning') return;
    if (status.state === 'unschedulable') {
      if (!isHeld(slot)) this.#changed(turn, id, { type: 'worker.held', detail: status.reason ?? 'unschedulable' });
      return;
    }
    if (isHeld(slot)) this.#changed(turn, id, { type: 'worker.placed' });
    if (probe === undefined || status.isReady !== true || status.address === undefined) return;
    const host = status.address.includes(':') ? `[${status.address}]` : status.address;
    const instance = status.handle.podUid ?? status.address;
    this.#changed(turn, id, { type: 'worker.ready', instance, endpoint: `${probe.scheme}://${host}:${probe.port}` });
  }
}

/** What is said is of another worker of that name. */
function isAnother(ours: WorkerHandle | null, theirs: WorkerHandle): boolean {
  const differ = (one: unknown, other: unknown): boolean => one !== undefined && other !== undefined && one !== other;
  return differ(ours?.pid, theirs.pid) || differ(ours?.podUid, theirs.podUid);
}
