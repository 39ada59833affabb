// What the clients of a run were given and when, and whether anybody was wronged.
//
// Owns: every grant of the run, from its answer to its end. Reads no clock: moments arrive with the news, all of one clock.
// Invariants that it checks (DESIGN G1, G7, G8), as a client can see them:
//   C1. One epoch of a slot is given to one holder.
//   C2. Two reservations of one slot do not live at the same time: from the answer to the sending of the release, or to
//       the news of the loss.
//   C3. A reservation ends by its holder's release; news of a loss, a renewal or a release that is told 'not yours any more'
//       means that it was lost.
//   C4. A tenant sees no data but its own.

/** A reservation as its holder was told of it. */
export interface Granted {
  readonly slot: string;
  readonly epoch: number;
  /** Who got it: a request, told apart from every other. */
  readonly holder: string;
  readonly atMs: number;
}

interface Life {
  readonly granted: Granted;
  endMs: number;
  lostReason: string | undefined;
}

/** What was found; the descriptions are bounded, the counts are not. */
export interface Verdict {
  readonly lost: number;
  readonly givenTwice: number;
  readonly findings: readonly string[];
}

const FINDINGS_MAX = 20;

export class ReservationHistory {
  readonly #lives = new Map<string, Life[]>();
  readonly #foreign: string[] = [];

  granted(granted: Granted): void {
    const key = keyOf(granted);
    const lives = this.#lives.get(key);
    const life: Life = { granted, endMs: Number.POSITIVE_INFINITY, lostReason: undefined };
    if (lives === undefined) this.#lives.set(key, [life]);
    // The same request told the same thing twice: one grant.
    else if (!lives.some((one) => one.granted.holder === granted.holder)) lives.push(life);
  }

  /** Its holder is about to release it: from now on it may be somebody else's. */
  releasing(granted: Granted, atMs: number): void {
    const life = this.#find(granted);
    if (life !== undefined) life.endMs = Math.min(life.endMs, atMs);
  }

  /** Its holder was told that it has ended, and had not released it. */
  lost(granted: Granted, reason: string, atMs: number): void {
    const life = this.#find(granted);
    if (life === undefined) return;
    life.lostReason ??= reason;
    life.endMs = Math.min(life.endMs, atMs);
  }

  /** A tenant saw what is not its own. */
  sawForeignData(holder: string, what: string): void {
    this.#foreign.push(`${holder} saw what is not its own: ${what}`);
  }

  check(): Verdict {
    const lost: string[] = [];
    const givenTwice: string[] = [...this.#foreign];
    const bySlot = new Map<string, Life[]>();
    for (const lives of this.#lives.values()) {
      for (const life of lives) {
        const { slot, epoch, holder } = life.granted;
        if (life.lostReason !== undefined) lost.push(`${holder} lost ${slot} (epoch ${epoch}): ${life.lostReason}`);
        const others = bySlot.get(slot) ?? [];
        others.push(life);
        bySlot.set(slot, others);
      }
      const [first, ...more] = lives;
      for (const { granted } of more) {
        givenTwice.push(`${granted.slot} epoch ${granted.epoch} was given to ${first?.granted.holder} and to ${granted.holder}`);
      }
    }
    for (const [slot, lives] of bySlot) givenTwice.push(...overlapsOf(slot, lives));
    const findings = [...lost, ...givenTwice].slice(0, FINDINGS_MAX);
    return { lost: lost.length, givenTwice: givenTwice.length, findings };
  }

  #find(granted: Granted): Life | undefined {
    return this.#lives.get(keyOf(granted))?.find((life) => life.granted.holder === granted.holder);
  }
}

function keyOf({ slot, epoch }: Granted): string {
  return `${slot}_${epoch}`;
}

/** C2, between different epochs: C1 has found the rest. */
function overlapsOf(slot: string, lives: readonly Life[]): readonly string[] {
  const sorted = [...lives].sort((one, other) => one.granted.atMs - other.granted.atMs);
  const found: string[] = [];
  let longest: Life | undefined;
  for (const life of sorted) {
    if (longest !== undefined && life.granted.epoch !== longest.granted.epoch && life.granted.atMs < longest.endMs) {
      found.push(
        `${slot} was given to ${life.granted.holder} (epoch ${life.granted.epoch}) while ${longest.granted.holder} held it (epoch ${longest.granted.epoch})`,
      );
    }
    if (longest === undefined || life.endMs > longest.endMs) longest = life;
  }
  return found;
}
