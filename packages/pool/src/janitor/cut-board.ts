import type { BusMessage } from '@muster/ports';
import { type Cut, cutSchema, decodeAs, subjects } from '@muster/protocol';
import type { Shadow } from '@muster/runtime';

/**
 * The latest cut of each shard: ordered by (epoch, seq, n), so that late and doubled ones change nothing. One that the
 * journal itself belies is no hindrance: where NATS lost writes a shard's epochs begin anew, lower than before.
 */
export class CutBoard {
  readonly #latest = new Map<string, Cut>();
  readonly #shadowOf: (shard: string) => Pick<Shadow, 'epoch' | 'seq'> | undefined;

  constructor(shadowOf: (shard: string) => Pick<Shadow, 'epoch' | 'seq'> | undefined) {
    this.#shadowOf = shadowOf;
  }

  /** True when it is news. @throws MusterError `bad-request` */
  accept(message: BusMessage): Cut | undefined {
    const cut = decodeAs(cutSchema, message.data);
    if (subjects.miss(cut.shard) !== message.subject) return undefined;
    const known = this.#latest.get(cut.shard);
    if (known !== undefined && !isNewer(cut, known) && !this.#isBelied(known)) return undefined;
    this.#latest.set(cut.shard, cut);
    return cut;
  }

  get(shard: string): Cut | undefined {
    return this.#latest.get(shard);
  }

  /** Epochs only grow along a journal: one that has passed the cut's position in a lower epoch has lost what it was made of. */
  #isBelied({ shard, epoch, seq }: Cut): boolean {
    const shadow = this.#shadowOf(shard);
    return shadow !== undefined && shadow.seq >= seq && shadow.epoch < epoch;
  }
}

function isNewer(cut: Cut, known: Cut): boolean {
  if (cut.epoch !== known.epoch) return cut.epoch > known.epoch;
  if (cut.seq !== known.seq) return cut.seq > known.seq;
  return cut.n > known.n;
}
