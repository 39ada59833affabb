import type { ReservationHistory } from '../history/reservation-history.ts';
import type { GrantColumns } from './load-messages.ts';

const FIRST_SIZE = 1_024;

/** Collects the grants of one round in columns. */
export class GrantLog {
  readonly #slots: string[] = [];
  readonly #indexOf = new Map<string, number>();
  #size = 0;
  #slot = new Uint32Array(FIRST_SIZE);
  #epoch = new Float64Array(FIRST_SIZE);
  #grantedMs = new Float64Array(FIRST_SIZE);
  #releasingMs = new Float64Array(FIRST_SIZE);

  /** @returns the row, for `releasing` */
  granted(slot: string, epoch: number, atMs: number): number {
    let index = this.#indexOf.get(slot);
    if (index === undefined) {
      index = this.#slots.push(slot) - 1;
      this.#indexOf.set(slot, index);
    }
    if (this.#size === this.#slot.length) this.#grow();
    const row = this.#size++;
    this.#slot[row] = index;
    this.#epoch[row] = epoch;
    this.#grantedMs[row] = atMs;
    this.#releasingMs[row] = Number.POSITIVE_INFINITY;
    return row;
  }

  releasing(row: number, atMs: number): void {
    this.#releasingMs[row] = atMs;
  }

  take(): GrantColumns {
    return {
      slots: this.#slots,
      slot: this.#slot.slice(0, this.#size),
      epoch: this.#epoch.slice(0, this.#size),
      grantedMs: this.#grantedMs.slice(0, this.#size),
      releasingMs: this.#releasingMs.slice(0, this.#size),
    };
  }

  #grow(): void {
    const length = this.#slot.length * 2;
    const grown = <T extends Uint32Array | Float64Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.#slot = grown(this.#slot, new Uint32Array(length));
    this.#epoch = grown(this.#epoch, new Float64Array(length));
    this.#grantedMs = grown(this.#grantedMs, new Float64Array(length));
    this.#releasingMs = grown(this.#releasingMs, new Float64Array(length));
  }
}

/** Adds the grants of one process and round to the history of all. */
export function addGrants(history: ReservationHistory, from: string, grants: GrantColumns): void {
  for (let row = 0; row < grants.slot.length; row++) {
    const slot = grants.slots[grants.slot[row] ?? 0] ?? '';
    const granted = { slot, epoch: grants.epoch[row] ?? 0, holder: `${from} ${row}`, atMs: grants.grantedMs[row] ?? 0 };
    history.granted(granted);
    const releasingMs = grants.releasingMs[row] ?? Number.POSITIVE_INFINITY;
    if (releasingMs < Number.POSITIVE_INFINITY) history.releasing(granted, releasingMs);
  }
}
