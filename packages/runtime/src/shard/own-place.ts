// Whether a writer is still the last, after its link was broken: a NATS that was away may have lost what it acknowledged, and
// whatever was written instead has the same position, which is all that an append compares.
import type { Clock, Journal } from '@muster/ports';
import { parseRecord } from '../journal/record.ts';

const RETRY_FIRST_MS = 20;
const RETRY_MAX_MS = 500;
/** One read may be old; several are not. */
const READS_MAX = 3;

export interface OwnPlaceOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly shard: string;
  /** The last record that the writer knows of. */
  readonly lastSeq: number;
  readonly lastOp: string;
  /** False: nobody wants to know any more. */
  readonly isCurrent: () => boolean;
  /** It is there; or there is more, which the next append will be told. */
  readonly proven: () => void;
  readonly lost: (why: string) => void;
}

/** Reads the end of the shard's journal until that says whether the writer's last record is in its place. */
export function proveOwnPlace(options: OwnPlaceOptions, tries = 1): void {
  const { journal, clock, shard, lastSeq, lastOp, isCurrent, proven, lost } = options;
  const again = (): void => {
    const delayMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(tries, 10));
    clock.setTimer(delayMs, () => {
      if (isCurrent()) proveOwnPlace(options, tries + 1);
    });
  };
  journal
    .last(shard)
    .then((message) => {
      if (!isCurrent()) return;
      const seq = message?.seq ?? 0;
      if (seq < lastSeq && tries < READS_MAX) return again();
      if (seq < lastSeq) return lost('the chain is shorter than it was');
      const isOther = message !== undefined && seq === lastSeq && parseRecord(message).record.op !== lastOp;
      if (isOther) lost('another record is in our place');
      else proven();
    })
    .catch(() => {
      if (isCurrent()) again();
    });
}
