// One simulated process: its clock, its link, its random numbers, and whether it runs.
import { type Clock, type ManualClock, MemoryBus, type MemoryNetwork, ProcessClock, SeededRandom } from '@muster/ports';
import { SkewedClock } from './skewed-clock.ts';

export interface MachineOptions {
  readonly name: string;
  readonly world: ManualClock;
  readonly network: MemoryNetwork;
  readonly seed: number;
  /** Local milliseconds per real one. */
  readonly rate?: number;
  readonly wallOffMs?: number;
}

export class Machine {
  readonly name: string;
  readonly bus: MemoryBus;
  readonly random: SeededRandom;
  readonly #skewed: SkewedClock;
  readonly #clock: ProcessClock;
  #isAlive = true;

  constructor(options: MachineOptions) {
    const { name, world, network, seed, rate = 1, wallOffMs = 0 } = options;
    this.name = name;
    this.#skewed = new SkewedClock(world, { rate, wallOffMs });
    this.#clock = new ProcessClock(this.#skewed);
    this.random = new SeededRandom(seed);
    this.bus = new MemoryBus({ network, name, clock: this.#clock, random: this.random });
  }

  get clock(): Clock {
    return this.#clock;
  }
  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** As `kill -9`: nothing of it runs or leaves any more, and it learns nothing of it. */
  kill(): void {
    this.#isAlive = false;
    this.#clock.kill();
    this.bus.link = undefined;
    void this.bus.close();
  }
  pause(): void {
    this.#clock.pause();
  }
  resume(): void {
    this.#clock.resume();
  }
  jump(ms: number): void {
    this.#skewed.jump(ms);
  }
  setWall(byMs: number): void {
    this.#skewed.setWall(byMs);
  }
}
