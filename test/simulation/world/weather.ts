// What the network does to messages now: cuts and noise. NATS is between all processes; the driver has links of its own.
import type { Hop, Random } from '@muster/ports';

/** The other end of a cut that is the server itself. */
export const NATS = 'nats';
/** The driver's place, in the hops of its calls and of what it says. */
export const DRIVER = 'driver';

/** One way that nothing takes. */
export interface Cut {
  readonly from: string;
  readonly to: string;
}

/** Bad weather for the messages that it touches. */
export interface Noise {
  /** Of each message: the chance to be lost, to arrive twice, to be late. */
  readonly drop: number;
  readonly duplicate: number;
  readonly delay: number;
  /** How late at most, ms. */
  readonly lateMs: number;
  /** Only messages from or to this process; absent: all. */
  readonly at?: string;
  /** Only this kind of subject (a part of it); absent: all. */
  readonly subject?: string;
}

const LATENCY_MS = 0.6;

export class Weather {
  readonly #random: Random;
  readonly #count: (kind: string) => void;
  readonly cuts = new Set<Cut>();
  readonly noises = new Set<Noise>();

  constructor(random: Random, count: (kind: string) => void) {
    this.#random = random;
    this.#count = count;
  }

  clear(): void {
    this.cuts.clear();
    this.noises.clear();
  }

  /** When each copy of a message arrives, ms from now. */
  transit(hop: Hop): readonly number[] {
    const random = this.#random;
    const latencyMs = 0.05 + random.next() * LATENCY_MS;
    if (this.cuts.size > 0 && this.#isCut(hop)) {
      this.#count('message cut off');
      return [];
    }
    for (const noise of this.noises) {
      if (noise.at !== undefined && hop.from !== noise.at && hop.to !== noise.at) continue;
      if (noise.subject !== undefined && !hop.subject.includes(noise.subject)) continue;
      const chance = random.next();
      if (chance < noise.drop) {
        this.#count('message dropped');
        return [];
      }
      if (chance < noise.drop + noise.duplicate) {
        this.#count('message doubled');
        return [latencyMs, latencyMs + random.next() * noise.lateMs];
      }
      if (chance < noise.drop + noise.duplicate + noise.delay) {
        this.#count('message delayed');
        return [latencyMs + random.next() * noise.lateMs];
      }
    }
    return [latencyMs];
  }

  #isCut({ from, to }: Hop): boolean {
    const isByNats = from !== DRIVER && to !== DRIVER;
    for (const cut of this.cuts) {
      const isFrom = cut.from === from || (cut.from === NATS && isByNats);
      const isTo = cut.to === to || (cut.to === NATS && isByNats);
      if (isFrom && isTo) return true;
    }
    return false;
  }
}
