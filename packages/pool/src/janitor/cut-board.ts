import type { BusMessage } from '@muster/ports';
import { type Cut, cutSchema, decodeAs, subjects } from '@muster/protocol';

/** The latest cut of each shard: ordered by (epoch, seq, n), so that late and doubled ones change nothing. */
export class CutBoard {
  readonly #latest = new Map<string, Cut>();

  /** True when it is news. @throws MusterError `bad-request` */
  accept(message: BusMessage): Cut | undefined {
    const cut = decodeAs(cutSchema, message.data);
    if (subjects.miss(cut.shard) !== message.subject) return undefined;
    const known = this.#latest.get(cut.shard);
    if (known !== undefined && !isNewer(cut, known)) return undefined;
    this.#latest.set(cut.shard, cut);
    return cut;
  }

  get(shard: string): Cut | undefined {
    return this.#latest.get(shard);
  }
}

function isNewer(cut: Cut, known: Cut): boolean {
  if (cut.epoch !== known.epoch) return cut.epoch > known.epoch;
  if (cut.seq !== known.seq) return cut.seq > known.seq;
  return cut.n > known.n;
}
