// What the clients of a run asked and were told, and whether anybody was wronged.
//
// A reservation is certainly held from the moment when its grant was received to the moment when its release is first
// sent, or when the news of its loss came; what the control plane did before and after is not known, and nothing is said
// about it. Reads no clock: moments arrive with the news, all of one clock.
// What it checks (DESIGN G1, G4, G6, G7, G8, and the request ids of 6.3), as clients can see it:
//   H1. One slot and epoch go to one request.
//   H2. A request that was noted as asked has one reservation, however often it was asked, and no refusal after it.
//   H3. Two reservations of one slot are never certainly held at once.
//   H4. A reservation that is certainly held is never said to have ended, unless its worker was killed.
//   H5. A release finds its reservation; only one that was tried again, or took as long as that, may find its own earlier try.
//   H6. A grant of a slot is newer than every grant of it that was received before it was asked for.
//   H7. At the end exactly those reservations live that were granted and not released, and those whose answer is still out.
//   H8. No cap is exceeded by what is certainly held at once, nor by what a pool was seen to have.
//   H9. No tenant sees data that is not its own.
//   H10. No intent starts more than its numbers need, and they count no request that was not asked.
import { CapRule, type Held } from './cap-rule.ts';
import { beyondNeed, type Intended } from './intent-rule.ts';

/** A reservation as its holder was told of it. */
export interface Granted {
  readonly slot: string;
  readonly epoch: number;
  /** Who got it: a request, told apart from every other. */
  readonly holder: string;
  readonly atMs: number;
}

/** A reservation that lives, as the cluster shows it. */
export interface LiveReservation {
  readonly slot: string;
  readonly epoch: number;
}

/** Bounds that hold all the time; what is left out has none. */
export interface Caps {
  /** Live slots, by pool. */
  readonly pools?: Readonly<Record<string, number>>;
  /** Reservations in each pool, by org. */
  readonly orgs?: Readonly<Record<string, number>>;
}

export type HistoryRule = 'H1' | 'H2' | 'H3' | 'H4' | 'H5' | 'H6' | 'H7' | 'H8' | 'H9' | 'H10';

export interface Violation {
  readonly rule: HistoryRule;
  readonly what: string;
}

/** What was found; the descriptions are bounded, the counts are not. */
export interface Verdict {
  readonly lost: number;
  readonly givenTwice: number;
  readonly findings: readonly string[];
}

interface Request {
  readonly askedMs: number;
  readonly pool: string;
  readonly org: string;
  /** When it had its first answer. */
  settledMs: number | undefined;
  isRefused: boolean;
  given: Life | undefined;
}

interface Life extends Held {
  readonly askedMs: number;
  lostReason: string | undefined;
  isReleased: boolean;
  /** How often its release was sent. */
  releases: number;
}

/** A release that did not find its reservation. */
interface OddRelease extends LiveReservation {
  readonly outcome: string;
  readonly wasRetried: boolean;
}

/** The outcome of a renewal or a release that was done. */
export const DONE = 'done';
const FINDINGS_MAX = 20;
/** Before the soonest retry inside of the cluster: a replica asks the owner again 10 to 20 ms after a try that said nothing. */
const RETRY_MS = 10;
/** What a release finds whose first try was done: it is told so, or the slot has gone on, or has ended. */
const OWN_TRY: ReadonlySet<string> = new Set(['released', 'stale-epoch', 'gone']);
/** What tells that somebody lost what he had; all else wronged somebody by what another was given. */
const LOSSES: ReadonlySet<HistoryRule> = new Set(['H4', 'H5', 'H7']);

/**
 * Takes down what the clients of a run asked and were told, and says what of it cannot be (the rules are in its file).
 * Bounded by nothing: it keeps a line for each request.
 */
export class ReservationHistory {
  readonly #caps: CapRule;
  readonly #requests = new Map<string, Request>();
  readonly #lives = new Map<string, Life[]>();
  readonly #odd: OddRelease[] = [];
  readonly #killed = new Map<string, number>();
  readonly #intended: Intended[] = [];
  readonly #said: Violation[] = [];

  constructor(caps: Caps = {}) {
    this.#caps = new CapRule(caps);
  }

  /** A request is sent, for the first time or again. */
  asked(holder: string, atMs: number, what: { readonly pool?: string; readonly org?: string } = {}): void {
    if (this.#requests.has(holder)) return;
    const { pool = '', org = '' } = what;
    this.#requests.set(holder, { askedMs: atMs, pool, org, settledMs: undefined, isRefused: false, given: undefined });
  }

  granted(granted: Granted): void {
    const { slot, epoch, holder, atMs } = granted;
    const request = this.#requests.get(holder);
    if (request !== undefined) request.settledMs ??= atMs;
    const key = keyOf(granted);
    const lives = this.#lives.get(key) ?? [];
    // The same request told the same thing twice: one grant.
    if (lives.some((one) => one.holder === holder)) return;
    const { askedMs = atMs, pool = '', org = '', given } = request ?? {};
    const life: Life = {
      slot,
      epoch,
      holder,
      pool,
      org,
      askedMs,
      atMs,
      endMs: Infinity,
      lostReason: undefined,
      isReleased: false,
      releases: 0,
    };
    const [first] = lives;
    if (first !== undefined) this.#say('H1', `${slot} epoch ${epoch} was given to ${first.holder} and to ${holder}`);
    if (given !== undefined) this.#say('H2', `${holder} got ${keyOf(given)} and ${key}`);
    if (request !== undefined) request.given ??= life;
    lives.push(life);
    this.#lives.set(key, lives);
  }

  /** A miss or an error, or a cancel that was answered: this request has no reservation. */
  refused(holder: string, atMs: number): void {
    const request = this.#requests.get(holder);
    if (request === undefined) return;
    request.settledMs ??= atMs;
    request.isRefused = true;
    if (request.given !== undefined) this.#say('H2', `${holder} was refused after it was granted`);
  }

  /** Its holder is about to release it, or has gone: from now on it may be somebody else's. */
  releasing(which: LiveReservation & { readonly holder?: string }, atMs: number): void {
    const life = this.#find(which);
    if (life === undefined) return;
    life.endMs = Math.min(life.endMs, atMs);
    life.releases += 1;
  }

  released(which: LiveReservation, outcome: string, atMs: number): void {
    const life = this.#find(which);
    if (life !== undefined) life.isReleased = true;
    if (outcome === DONE) return;
    // A replica tries again by itself, which takes a while.
    const wasRetried = life !== undefined && (life.releases > 1 || atMs - life.endMs >= RETRY_MS);
    this.#odd.push({ slot: which.slot, epoch: which.epoch, outcome, wasRetried });
  }

  /** Its holder was told that it has ended. */
  lost(which: LiveReservation & { readonly holder?: string }, reason: string, atMs: number): void {
    const life = this.#find(which);
    if (life === undefined || life.endMs < Infinity) return;
    life.lostReason = reason;
    life.endMs = atMs;
  }

  /** The worker of this slot was ended by whoever injects faults: its reservation may be lost. */
  workerKilled(slot: string, atMs: number): void {
    if (!this.#killed.has(slot)) this.#killed.set(slot, atMs);
  }

  /** A pool was seen to have so many live slots, at one instant. */
  saw(pool: string, alive: number): void {
    this.#caps.saw(pool, alive);
  }

  /** A tenant saw what is not its own. */
  sawForeignData(holder: string, what: string): void {
    this.#say('H9', `${holder} saw what is not its own: ${what}`);
  }

  /** The janitor decided to start workers for what it was told is missed. */
  intended(intent: Intended): void {
    this.#intended.push(intent);
  }

  /** All that cannot be; `live` is what the cluster has when nobody asks any more, where that is known. */
  violations(live?: readonly LiveReservation[]): readonly Violation[] {
    const lives = [...this.#lives.values()].flat();
    return [
      ...this.#said,
      ...lives.flatMap((life) => this.#lossOf(life)),
      ...this.#odd.flatMap((one) => this.#oddRelease(one)),
      ...[...Map.groupBy(lives, ({ slot }) => slot).values()].flatMap(overlapsOf),
      ...this.#caps.violations(lives.map((life) => this.#asLived(life))).map((what): Violation => ({ rule: 'H8', what })),
      ...beyondNeed(this.#intended, [...this.#requests.values()]).map((what): Violation => ({ rule: 'H10', what })),
      ...(live === undefined ? [] : this.#atTheEnd(lives, live)),
    ];
  }

  check(): Verdict {
    const all = this.violations().toSorted((one, other) => Number(LOSSES.has(other.rule)) - Number(LOSSES.has(one.rule)));
    const lost = all.filter(({ rule }) => LOSSES.has(rule)).length;
    return { lost, givenTwice: all.length - lost, findings: all.slice(0, FINDINGS_MAX).map(({ what }) => what) };
  }

  /** Nothing is held of a worker that was killed, also where its holder does not know it yet. */
  #asLived(life: Life): Life {
    const killedMs = this.#killed.get(life.slot) ?? Infinity;
    return killedMs < life.endMs ? { ...life, endMs: killedMs } : life;
  }

  #lossOf({ lostReason, slot, epoch, holder }: Life): readonly Violation[] {
    if (lostReason === undefined || this.#killed.has(slot)) return [];
    return [{ rule: 'H4', what: `${holder} lost ${slot} (epoch ${epoch}): ${lostReason}` }];
  }

  #oddRelease({ slot, epoch, outcome, wasRetried }: OddRelease): readonly Violation[] {
    if ((wasRetried && OWN_TRY.has(outcome)) || this.#killed.has(slot)) return [];
    return [{ rule: 'H5', what: `the release of ${keyOf({ slot, epoch })} found it ${outcome}` }];
  }

  #atTheEnd(lives: readonly Life[], live: readonly LiveReservation[]): readonly Violation[] {
    const said: Violation[] = [];
    const alive = new Set(live.map(keyOf));
    for (const life of lives) {
      if (life.endMs === Infinity && !alive.has(keyOf(life)) && !this.#killed.has(life.slot)) {
        said.push({ rule: 'H7', what: `${keyOf(life)} of ${life.holder} is gone and was never released` });
      }
    }
    const isAnyOpen = [...this.#requests.values()].some(({ settledMs }) => settledMs === undefined);
    for (const one of live) {
      const known = this.#lives.get(keyOf(one));
      if (known?.every(({ isReleased }) => isReleased) === true)
        said.push({ rule: 'H7', what: `${keyOf(one)} was released and still lives` });
      if (known === undefined && !isAnyOpen) said.push({ rule: 'H7', what: `${keyOf(one)} lives, and nobody was given it` });
    }
    return said;
  }

  #find(which: LiveReservation & { readonly holder?: string }): Life | undefined {
    const lives = this.#lives.get(keyOf(which));
    return which.holder === undefined ? lives?.[0] : lives?.find(({ holder }) => holder === which.holder);
  }

  #say(rule: HistoryRule, what: string): void {
    this.#said.push({ rule, what });
  }
}

function keyOf({ slot, epoch }: LiveReservation): string {
  return `${slot}_${epoch}`;
}

/** H3 and H6 of one slot, between different epochs: H1 has found the rest. */
function overlapsOf(lives: readonly Life[]): readonly Violation[] {
  const said: Violation[] = [];
  let longest: Life | undefined;
  /** Of those that were received so far. */
  let newest: Life | undefined;
  const byReceipt = lives.toSorted((one, other) => one.atMs - other.atMs);
  for (const life of byReceipt) {
    if (longest !== undefined && life.epoch !== longest.epoch && life.atMs < longest.endMs) {
      const { slot } = life;
      const what = `${slot} was given to ${life.holder} (epoch ${life.epoch}) while ${longest.holder} held it (epoch ${longest.epoch})`;
      said.push({ rule: 'H3', what });
    }
    if (longest === undefined || life.endMs > longest.endMs) longest = life;
  }
  const byAsking = lives.toSorted((one, other) => one.askedMs - other.askedMs);
  let received = 0;
  for (const life of byAsking) {
    for (let next = byReceipt[received]; next !== undefined && next.atMs < life.askedMs; next = byReceipt[++received]) {
      if (newest === undefined || next.epoch > newest.epoch) newest = next;
    }
    if (newest !== undefined && life.epoch < newest.epoch) {
      said.push({ rule: 'H6', what: `${life.slot} epoch ${life.epoch} was given out after epoch ${newest.epoch}` });
    }
  }
  return said;
}
