// One org of a large simulation: reserves by the client SDK, holds, gives back, and comes again.
import { MissError, type MusterClient } from '@muster/client';
import { type Clock, type Random, SeededRandom } from '@muster/ports';

export interface ScaleTenantOptions {
  readonly org: string;
  readonly pool: string;
  readonly client: MusterClient;
  readonly clock: Clock;
  readonly seed: number;
  readonly holdMaxMs: number;
  readonly pauseMaxMs: number;
  readonly isClosing: () => boolean;
  readonly told: (org: string, reservation: string, slot: string, tookMs: number) => void;
  readonly missed: (reason: string) => void;
  readonly lost: (reservation: string, reason: string) => void;
}

const WAIT_MS = 10_000;

export class ScaleTenant {
  /** It asks, or holds something. */
  isBusy = false;
  readonly #options: ScaleTenantOptions;
  readonly #random: Random;

  constructor(options: ScaleTenantOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  async live(): Promise<void> {
    const { pauseMaxMs, isClosing } = this.#options;
    await this.#pass(this.#random.next() * pauseMaxMs);
    while (!isClosing()) {
      this.isBusy = true;
      await this.#visit();
      this.isBusy = false;
      await this.#pass(this.#random.next() * pauseMaxMs);
    }
  }

  async #visit(): Promise<void> {
    const { org, pool, client, clock, holdMaxMs, told, missed, lost } = this.#options;
    const askedMs = clock.monotonicMs();
    try {
      const reservation = await client.reserve(pool, { org, waitMs: WAIT_MS, activation: { secret: org } });
      told(org, reservation.id, reservation.slot, clock.monotonicMs() - askedMs);
      reservation.onLost((reason) => lost(reservation.id, reason));
      await this.#pass(this.#random.next() * holdMaxMs);
      await reservation.release();
    } catch (error) {
      missed(error instanceof MissError ? error.miss.reason : String(error));
    }
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.setTimer(ms, resolve));
  }
}
