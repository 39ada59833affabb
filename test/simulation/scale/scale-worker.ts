// One worker of a large simulation, on the real worker SDK, and the truth about whose data it has.
import {
  type ManualClock,
  MemoryBus,
  type MemoryNetwork,
  type PlayedWorker,
  SeededRandom,
  silentLogger,
  type WorkerSpec,
} from '@muster/ports';
import { startWorker } from '@muster/worker';

export interface ScaleWorkerOptions {
  readonly spec: WorkerSpec;
  readonly clock: ManualClock;
  readonly network: MemoryNetwork;
  readonly seed: number;
  readonly activating: (worker: ScaleWorker, org: string) => void;
}

export class ScaleWorker implements PlayedWorker {
  readonly slot: string;
  /** Whose data is in the process. */
  dirtyOf: string | undefined;
  isGone = false;
  readonly #bus: MemoryBus;

  constructor({ spec, clock, network, seed, activating }: ScaleWorkerOptions) {
    this.slot = spec.slot;
    this.#bus = new MemoryBus({ network, name: `worker-${spec.slot}` });
    startWorker({
      bus: this.#bus,
      clock,
      random: new SeededRandom(seed),
      logger: silentLogger,
      identity: { cluster: 'scale', slot: spec.slot, shard: spec.shard, token: spec.token },
      endpoint: `sim://${spec.slot}`,
      version: '0.0.0',
      pid: 1,
      onActivate: ({ org }) => {
        activating(this, org);
        this.dirtyOf = org;
      },
      onReset: () => {
        this.dirtyOf = undefined;
      },
    });
  }

  stop(): void {
    this.isGone = true;
    void this.#bus.close();
  }
}
