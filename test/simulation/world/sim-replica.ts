// One replica: the real runtime and the real pools on simulated ports.
import type { ClusterConfig } from '@muster/domain';
import { type Logger, MemoryMetrics } from '@muster/ports';
import { type PoolNode, startPools } from '@muster/pool';
import { reservationToken, slotToken } from '@muster/protocol';
import { type Runtime, type RuntimeOptions, startRuntime } from '@muster/runtime';
import type { DriverLink } from './driver-link.ts';
import type { Machine } from './machine.ts';
import type { ObservedBus } from './observed-bus.ts';
import type { SimJournal } from './sim-journal.ts';

const KEY = 'a key for simulations only';

/** What proves a slot and a reservation in the simulated cluster. */
export const secrets = {
  slotToken: (slot: string): string => slotToken(KEY, slot),
  reservationToken: (reservation: string, slot: string, epoch: number): string => reservationToken(KEY, reservation, slot, epoch),
};

export interface SimReplicaOptions {
  readonly machine: Machine;
  readonly bus: ObservedBus;
  readonly journal: SimJournal;
  readonly driver: DriverLink;
  readonly logger: Logger;
  readonly config: ClusterConfig;
  readonly version: number;
  readonly runtime: Partial<RuntimeOptions>;
}

export class SimReplica {
  readonly machine: Machine;
  readonly version: number;
  runtime: Runtime | undefined;
  pools: PoolNode | undefined;
  isLeaving = false;
  readonly #options: SimReplicaOptions;

  constructor(options: SimReplicaOptions) {
    this.#options = options;
    this.machine = options.machine;
    this.version = options.version;
  }

  get name(): string {
    return this.machine.name;
  }
  get isAlive(): boolean {
    return this.machine.isAlive;
  }

  async start(): Promise<void> {
    const { machine, bus, journal, driver, logger, config } = this.#options;
    const { clock, random, name } = machine;
    const metrics = new MemoryMetrics();
    this.runtime = await startRuntime({
      replica: name,
      cluster: 'sim',
      bus,
      journal,
      clock,
      random,
      logger,
      metrics,
      ...this.#options.runtime,
    });
    this.pools = await startPools({
      runtime: this.runtime,
      cluster: 'sim',
      version: '0.0.0',
      bus,
      clock,
      random,
      logger,
      metrics,
      drivers: new Map([['simulated', driver]]),
      initialConfig: config,
      secrets,
    });
  }

  kill(): void {
    this.machine.kill();
  }

  /** A planned stop, as on SIGTERM; the process ends after it. */
  async leave(): Promise<void> {
    this.isLeaving = true;
    await this.pools?.stopTaking();
    await this.runtime?.stop(5_000);
    this.pools?.close();
    this.kill();
  }
}
