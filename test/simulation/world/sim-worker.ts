// One worker process on the real worker SDK, with what it really did: the ground truth of G8 and G9.
import { type Random, silentLogger, type WorkerSpec } from '@muster/ports';
import { ActivationRefused, type ActivationContext, startWorker, type Worker } from '@muster/worker';
import type { Machine } from './machine.ts';

/** What workers do beside their duty, while it lasts; chances of one activation or reset. */
export interface WorkerTrouble {
  readonly slowActivation: number;
  readonly slowMs: number;
  readonly hangingActivation: number;
  readonly failedActivation: number;
  readonly refusedRequest: number;
  readonly failedReset: number;
}

export interface WorkerWitness {
  /** Before anything of the org is in the process. */
  activating(worker: SimWorker, context: ActivationContext): void;
}

export interface SimWorkerOptions {
  readonly machine: Machine;
  readonly spec: WorkerSpec;
  readonly random: Random;
  readonly witness: WorkerWitness;
  readonly trouble: () => WorkerTrouble | undefined;
  readonly count: (kind: string) => void;
  /** The process is over by itself. */
  readonly onEnd: (reason: string) => void;
}

const NEVER = new Promise<void>(() => undefined);

export class SimWorker {
  readonly machine: Machine;
  readonly spec: WorkerSpec;
  /** Whose data is in the process. */
  dirtyOf: string | undefined;
  /** All orgs whose data ever was. */
  readonly orgs = new Set<string>();
  /** Reservations that it said yes to. */
  readonly activated = new Set<string>();
  /** Resets that it said yes to. */
  resets = 0;
  readonly #options: SimWorkerOptions;
  readonly #sdk: Worker;

  constructor(options: SimWorkerOptions) {
    this.#options = options;
    const { machine, spec } = options;
    this.machine = machine;
    this.spec = spec;
    this.#sdk = startWorker({
      bus: machine.bus,
      clock: machine.clock,
      random: machine.random,
      logger: silentLogger,
      identity: { cluster: 'sim', slot: spec.slot, shard: spec.shard, token: spec.token },
      endpoint: `sim://${spec.slot}`,
      version: '0.0.0',
      pid: 1,
      timings: { helloEveryMs: 20_000, orphanAfterMs: 90_000, drainGraceMs: 1_000 },
      onActivate: (context) => this.#activate(context),
      onReset: () => this.#reset(),
    });
    void this.#sdk.ended.then((reason) => {
      if (machine.isAlive) options.onEnd(reason);
    });
  }

  get slot(): string {
    return this.spec.slot;
  }
  get instance(): string {
    return this.#sdk.instance;
  }
  get holder(): Worker['holder'] {
    return this.#sdk.holder;
  }

  /** What a holder of this token sees: it is served, or sent away. */
  serves(token: string): boolean {
    return this.machine.isAlive && !this.#sdk.isDraining && this.#sdk.isHolder(token);
  }

  /** SIGTERM. */
  terminate(graceMs: number): void {
    void this.#sdk.drain('SIGTERM', graceMs);
  }

  async #activate(context: ActivationContext): Promise<void> {
    const { witness, random, count, trouble } = this.#options;
    witness.activating(this, context);
    this.dirtyOf = context.org;
    this.orgs.add(context.org);
    const now = trouble();
    if (now !== undefined) {
      let chance = random.next();
      const isNow = (share: number): boolean => {
        chance -= share;
        return chance < 0;
      };
      if (isNow(now.slowActivation)) {
        count('activation slow');
        await this.#pass(random.next() * now.slowMs);
      } else if (isNow(now.hangingActivation)) {
        count('activation hangs');
        await NEVER;
      } else if (isNow(now.failedActivation)) {
        count('activation failed');
        throw new Error('the simulated worker fails');
      } else if (isNow(now.refusedRequest)) {
        count('activation refused');
        throw new ActivationRefused('request', 'the simulated worker refuses the request');
      }
    }
    this.activated.add(context.reservation);
  }

  async #reset(): Promise<void> {
    const { random, count, trouble } = this.#options;
    await this.#pass(random.next() * 20);
    if (random.next() < (trouble()?.failedReset ?? 0)) {
      count('reset failed');
      throw new Error('the simulated worker cannot forget');
    }
    this.dirtyOf = undefined;
    this.resets += 1;
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.machine.clock.setTimer(ms, resolve));
  }
}
