// Where the workers run: the truth about what was started, runs and has ended, as a host or a kubelet knows it.
//
//   Y1. A slot is started at most once, ever; one that was destroyed before it was created never is.
//   Y2. What ended stays known as exited until it is destroyed.
//   Y3. What is held for want of room, or out of sight, is told as such at once, and in every list.
import type { CreateOutcome, ManualClock, WorkerHandle, WorkerSpec, WorkerStatus } from '@muster/ports';
import type { SimWorker } from './sim-worker.ts';

/** What becomes of a start. */
export type StartFate =
  | { readonly kind: 'starts'; readonly afterMs: number }
  | { readonly kind: 'fails'; readonly afterMs: number; readonly reason: string }
  /** The process runs, and never says anything. */
  | { readonly kind: 'hangs' };

export interface YardOptions {
  readonly world: ManualClock;
  readonly fate: (spec: WorkerSpec) => StartFate;
  /** Starts the worker's process. */
  readonly play: (spec: WorkerSpec, onEnd: (reason: string) => void) => SimWorker;
  /** Told when a process begins and ends. */
  readonly began: (spec: WorkerSpec) => void;
  readonly ended: (spec: WorkerSpec, reason: string) => void;
  /** A destroy has reached it. */
  readonly destroying: (slot: string) => void;
}

/** One slot's process, from its create to the end of time. */
export interface Resident {
  readonly spec: WorkerSpec;
  readonly handle: WorkerHandle;
  readonly createdAtMs: number;
  worker: SimWorker | undefined;
  /** Its process runs (also one that hangs). */
  isRunning: boolean;
  /** There is no room for it; nothing of it runs. */
  isHeld: boolean;
  /** Its node is lost: nobody knows whether it runs. */
  isOutOfSight: boolean;
  exit: { readonly atMs: number; readonly reason: string } | undefined;
  destroyedAtMs: number | undefined;
  onGone: (() => void)[];
}

export class Yard {
  readonly residents = new Map<string, Resident>();
  readonly #options: YardOptions;
  readonly #tombs = new Set<string>();
  readonly #listeners = new Set<(status: WorkerStatus) => void>();
  #pid = 0;
  /** What is created now is held until `makeRoom`. */
  isFull = false;

  constructor(options: YardOptions) {
    this.#options = options;
  }

  get running(): readonly Resident[] {
    return [...this.residents.values()].filter(({ isRunning }) => isRunning);
  }

  worker(slot: string): SimWorker | undefined {
    return this.residents.get(slot)?.worker;
  }

  /** Nothing of this slot runs, or can ever run again. */
  isGone(slot: string): boolean {
    const resident = this.residents.get(slot);
    if (resident === undefined) return this.#tombs.has(slot);
    return resident.exit !== undefined;
  }

  create(spec: WorkerSpec): CreateOutcome {
    if (this.#tombs.has(spec.slot)) return { kind: 'exited', reason: 'destroyed' };
    const known = this.residents.get(spec.slot);
    if (known !== undefined) {
      return known.exit === undefined ? { kind: 'created', handle: known.handle } : { kind: 'exited', reason: known.exit.reason };
    }
    const resident: Resident = {
      spec,
      handle: { pid: ++this.#pid },
      createdAtMs: this.#options.world.monotonicMs(),
      worker: undefined,
      isRunning: false,
      isHeld: this.isFull,
      isOutOfSight: false,
      exit: undefined,
      destroyedAtMs: undefined,
      onGone: [],
    };
    this.residents.set(spec.slot, resident);
    if (resident.isHeld) this.#tell(resident);
    else this.#place(resident);
    return { kind: 'created', handle: resident.handle };
  }

  /** There is room again for all that is held. */
  makeRoom(): void {
    this.isFull = false;
    for (const resident of this.residents.values()) {
      if (!resident.isHeld || resident.exit !== undefined) continue;
      resident.isHeld = false;
      this.#tell(resident);
      this.#place(resident);
    }
  }

  /** The node of this slot's worker is lost, or is back. */
  setOutOfSight(slot: string, isOutOfSight: boolean): void {
    const resident = this.residents.get(slot);
    if (resident === undefined || resident.exit !== undefined) return;
    resident.isOutOfSight = isOutOfSight;
    this.#tell(resident);
  }

  #place(resident: Resident): void {
    const { world, fate } = this.#options;
    const decided = fate(resident.spec);
    world.setTimer(decided.kind === 'hangs' ? 0 : decided.afterMs, () => this.#begin(resident, decided));
  }

  #tell(resident: Resident): void {
    const status = this.#statusAt(resident, this.#options.world.monotonicMs());
    if (status !== undefined) for (const listener of Array.from(this.#listeners)) listener(status);
  }

  /** Calls back when it is gone: SIGTERM, and SIGKILL after `graceMs`. */
  destroy(slot: string, graceMs: number, onGone: () => void): void {
    const { world, destroying } = this.#options;
    destroying(slot);
    this.#tombs.add(slot);
    const resident = this.residents.get(slot);
    if (resident === undefined) return onGone();
    resident.destroyedAtMs ??= world.monotonicMs();
    if (resident.exit !== undefined) return onGone();
    resident.onGone.push(onGone);
    if (!resident.isRunning) return this.end(slot, 'destroyed');
    resident.worker?.terminate(graceMs);
    world.setTimer(graceMs, () => this.end(slot, 'SIGKILL'));
  }

  /** The process ends now. */
  end(slot: string, reason: string): void {
    const resident = this.residents.get(slot);
    if (resident === undefined || resident.exit !== undefined) return;
    resident.exit = { atMs: this.#options.world.monotonicMs(), reason };
    resident.worker?.machine.kill();
    if (resident.isRunning) {
      resident.isRunning = false;
      this.#options.ended(resident.spec, reason);
    }
    for (const gone of resident.onGone.splice(0)) gone();
    this.#tell(resident);
  }

  /** As it was `agoMs` ago. */
  list(agoMs: number): readonly WorkerStatus[] {
    const atMs = this.#options.world.monotonicMs() - agoMs;
    return [...this.residents.values()].flatMap((resident) => this.#statusAt(resident, atMs) ?? []);
  }

  onChange(listener: (status: WorkerStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #begin(resident: Resident, fate: StartFate): void {
    const { spec } = resident;
    if (resident.exit !== undefined) return;
    resident.isRunning = true;
    this.#options.began(spec);
    if (fate.kind === 'fails') return this.end(spec.slot, fate.reason);
    if (fate.kind === 'starts') resident.worker = this.#options.play(spec, (reason) => this.end(spec.slot, reason));
  }

  #statusAt(resident: Resident, atMs: number): WorkerStatus | undefined {
    const { spec, handle, createdAtMs, exit, destroyedAtMs } = resident;
    const isExited = exit !== undefined && exit.atMs <= atMs;
    if (createdAtMs > atMs || (isExited && destroyedAtMs !== undefined && destroyedAtMs <= atMs)) return undefined;
    return {
      slot: spec.slot,
      shard: spec.shard,
      handle,
      ...(isExited ? { state: 'exited', reason: exit.reason } : standingOf(resident)),
      ageMs: atMs - createdAtMs,
    };
  }
}

function standingOf({ isHeld, isOutOfSight, isRunning, exit }: Resident): Pick<WorkerStatus, 'state' | 'reason'> {
  if (isOutOfSight) return { state: 'unreachable', reason: 'node-lost' };
  if (isHeld) return { state: 'unschedulable', reason: 'unschedulable: no room' };
  return { state: isRunning || exit !== undefined ? 'running' : 'starting' };
}
