// One replica's driver: its calls to the yard, over a link of their own, with what goes wrong on it.
import type {
  Capacity,
  CreateOutcome,
  HostStatus,
  MemoryNetwork,
  Placement,
  Random,
  Subscription,
  WorkerDriver,
  WorkerHandle,
  WorkerSpec,
  WorkerStatus,
} from '@muster/ports';
import { MusterError } from '@muster/protocol';
import type { Machine } from './machine.ts';
import { DRIVER } from './weather.ts';
import type { Yard } from './yard.ts';

/** Chances of one call while it lasts. */
export interface DriverTrouble {
  readonly failedCall: number;
  /** It works, and nobody is told. */
  readonly lostAnswer: number;
  readonly refusedCreate: number;
  /** A list, or news of an exit, that is this old at most. */
  readonly staleMs: number;
  readonly lostNews: number;
}

export interface DriverLinkOptions {
  readonly machine: Machine;
  readonly network: MemoryNetwork;
  readonly yard: Yard;
  readonly random: Random;
  readonly trouble: () => DriverTrouble | undefined;
  readonly count: (kind: string) => void;
  readonly limit: () => Capacity;
  /** A call leaves the replica. */
  readonly called: (replica: string, call: 'create' | 'destroy', slot: string) => void;
}

const CALL_TIMEOUT_MS = 8_000;
const GRACE_MS = 1_500;

export class DriverLink implements WorkerDriver {
  readonly name = 'sim';
  readonly #options: DriverLinkOptions;

  constructor(options: DriverLinkOptions) {
    this.#options = options;
  }

  capacity(): Capacity {
    return this.#options.limit();
  }
  place(): Placement | undefined {
    return {};
  }

  async create(spec: WorkerSpec): Promise<CreateOutcome> {
    const { yard, machine, called, trouble, random, count } = this.#options;
    called(machine.name, 'create', spec.slot);
    if (random.next() < (trouble()?.refusedCreate ?? 0)) {
      count('create refused');
      return { kind: 'failed', reason: 'quota', retryable: random.next() < 0.5 };
    }
    return this.#call((answer) => answer(yard.create(spec)));
  }

  async destroy(slot: string, _handle: WorkerHandle, graceMs: number): Promise<void> {
    const { yard, machine, called } = this.#options;
    called(machine.name, 'destroy', slot);
    return this.#call((answer) => yard.destroy(slot, Math.min(graceMs, GRACE_MS), () => answer(undefined)));
  }

  async list(): Promise<{ readonly workers: readonly WorkerStatus[]; readonly silentHosts: readonly string[] }> {
    const { yard, random, trouble, count } = this.#options;
    const staleMs = trouble()?.staleMs ?? 0;
    const agoMs = staleMs > 0 ? random.next() * staleMs : 0;
    if (agoMs > 0) count('list stale');
    return this.#call((answer) => answer({ workers: yard.list(agoMs), silentHosts: [] }));
  }

  watch(listener: (status: WorkerStatus) => void): Subscription {
    const { yard, network, machine, random, trouble, count } = this.#options;
    const unsubscribe = yard.onChange((status) => {
      if (random.next() < (trouble()?.lostNews ?? 0)) return count('news of an exit lost');
      network.carry({ from: DRIVER, to: machine.name, subject: 'watch' }, () => listener(status), machine.clock);
    });
    return { unsubscribe };
  }

  describe(): readonly HostStatus[] {
    return [];
  }
  forget(): boolean {
    return false;
  }
  async close(): Promise<void> {}

  /** Carries a call there and its answer back. @throws MusterError `driver-unavailable` */
  #call<T>(act: (answer: (value: T) => void) => void): Promise<T> {
    const { machine, network, random, trouble, count } = this.#options;
    const now = trouble();
    const chance = random.next();
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new MusterError('driver-unavailable', why));
      if (now !== undefined && chance < now.failedCall) {
        count('driver call failed');
        return void machine.clock.setTimer(random.next() * 50, () => fail('the driver refused the connection'));
      }
      const isAnswerLost = now !== undefined && chance < now.failedCall + now.lostAnswer;
      if (isAnswerLost) count('driver call worked, answer lost');
      const timer = machine.clock.setTimer(CALL_TIMEOUT_MS, () => fail(`no answer in ${CALL_TIMEOUT_MS} ms`));
      network.carry({ from: machine.name, to: DRIVER, subject: 'call' }, () =>
        act((value) => {
          if (isAnswerLost) return;
          const arrive = (): void => {
            timer.cancel();
            resolve(value);
          };
          network.carry({ from: DRIVER, to: machine.name, subject: 'call' }, arrive, machine.clock);
        }),
      );
    });
  }
}
