// Cuts of a shard for the janitor (DESIGN 7.1): absolute numbers of one instant of acknowledged state, sent when they
// change, at once to a new janitor, and again and again so that none that is lost matters.
import { BUDGETS } from '@muster/domain';
import { type Cut, encode, subjects } from '@muster/protocol';
import type { OwnedShard, Turn } from '@muster/runtime';

export type CutNumbers = Omit<Cut, 'shard' | 'epoch' | 'seq' | 'n'>;

const COALESCE_MS = 10;
/** A change of what is only looked at (reserved, parked, silent) is told this much later. */
const IDLE_REPEAT_MS = 250;
/** While something is missed, starts, or is not known yet. */
const BUSY_REPEAT_MS = 1_000;

export class CutReporter {
  readonly #shard: OwnedShard;
  readonly #numbers: (turn: Turn) => CutNumbers;
  #n = 0;
  #isDue = false;
  /** What the last cut had of what is decided from. */
  #deciding = '';
  #isRepeatSoon = false;
  #janitorEpoch = -1;

  constructor(shard: OwnedShard, numbers: (turn: Turn) => CutNumbers) {
    this.#shard = shard;
    this.#numbers = numbers;
  }

  open(): void {
    this.changed();
  }

  /** Something that a cut says may have changed. */
  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#shard.setTimer('cut', COALESCE_MS, 'internal', (turn) => {
      this.#isDue = false;
      this.#report(turn, false);
    });
  }

  /** The janitor's journal has gone on; a new epoch of it knows nothing yet. */
  janitor(turn: Turn, epoch: number): void {
    if (epoch === this.#janitorEpoch) return;
    this.#janitorEpoch = epoch;
    this.#report(turn, true);
  }

  #report(turn: Turn, isRepeat: boolean): void {
    const numbers = this.#numbers(turn);
    const deciding = decidingOf(numbers);
    // What nobody decides from can wait: each cut may cost an append of its own.
    if (!isRepeat && deciding === this.#deciding) {
      if (!this.#isRepeatSoon) this.#repeat(IDLE_REPEAT_MS);
      this.#isRepeatSoon = true;
      return;
    }
    this.#deciding = deciding;
    const n = ++this.#n;
    turn.afterCommit(({ seq, epoch }) => {
      const cut: Cut = { shard: this.#shard.shard, epoch, seq, n, ...numbers };
      this.#shard.bus.publish(subjects.miss(this.#shard.shard), encode(cut));
    });
    const isMissed = numbers.waiting > 0 || numbers.refused > 0;
    const isBusy = isMissed || numbers.spawning > 0 || numbers.breaker.isOpen || numbers.capacity.kind === 'unknown';
    this.#isRepeatSoon = false;
    this.#repeat(isBusy ? BUSY_REPEAT_MS : BUDGETS.tickMs);
  }

  #repeat(delayMs: number): void {
    this.#shard.setTimer('cut-repeat', delayMs, 'internal', (turn) => this.#report(turn, true));
  }
}

/** What the janitor decides from, to be compared. */
function decidingOf(numbers: CutNumbers): string {
  const { intentApplied, configVersion, waiting, refused, warm, warmOldTemplate, spawning, alive, breaker, capacity } = numbers;
  return JSON.stringify([intentApplied, configVersion, waiting, refused, warm, warmOldTemplate, spawning, alive, breaker, capacity]);
}
