// What may be started (G5): an intent counts what a shard really said, once, and a shard says what its clients really want.
import { type Cut, decode, JANITOR_SHARD } from '@muster/protocol';
import type { ClientRequest } from '../world/sim-client.ts';
import type { FoldedIntent } from './fold.ts';
import type { JournalChecker } from './journal-checker.ts';
import type { Verdict } from './verdict.ts';

/** How long after its client heard the last of it a request may still be counted: a waiter leaves after 5 s of a clock that pauses. */
const LEAVES_MS = 20_000;

/** The world's time, and what a replica takes for the time of day. */
export interface Clocks {
  nowMs(): number;
  wallMs(replica: string): number | undefined;
}

/** A decision that is stored so much later, or from a clock that was set, is not looked at by its time. */
const AGE_MAX_MS = 5_000;

interface Heard {
  /** A message comes to each subscription by itself, or not. */
  readonly subscription: number;
  readonly cuts: Map<string, { readonly atMs: number; readonly cut: Cut }[]>;
}

interface Wish {
  readonly pool: string;
  isOpen: boolean;
  untilMs: number;
}

export class DemandChecker {
  readonly #journal: JournalChecker;
  readonly #verdict: Verdict;
  readonly #clocks: Clocks;
  /** What each replica heard since it last began to listen: the newest cut of each shard, from when on. */
  readonly #heard = new Map<string, Heard>();
  readonly #wishes = new Map<string, Wish>();
  readonly #keys = new Map<ClientRequest, string>();
  readonly #cuts = new Map<string, Cut[]>();
  readonly #used = new Map<string, Cut>();
  #usedEpoch = 0;
  #made = 0;

  constructor(journal: JournalChecker, verdict: Verdict, clocks: Clocks) {
    this.#journal = journal;
    this.#verdict = verdict;
    this.#clocks = clocks;
    journal.onIntent = (intent) => this.#intent(intent);
  }

  asked(request: ClientRequest): void {
    const { pool, org, requestId } = request;
    const key = `${pool} ${org} ${requestId ?? `try ${this.#made++}`}`;
    this.#keys.set(request, key);
    this.#wishes.set(key, { pool, isOpen: true, untilMs: 0 });
  }

  /** It has its answer, or nobody waits for one any more; it may come again within `retryAfterMs`. */
  settled(request: ClientRequest, retryAfterMs: number): void {
    const wish = this.#wishes.get(this.#keys.get(request) ?? '');
    if (wish === undefined) return;
    wish.isOpen = false;
    wish.untilMs = this.#clocks.nowMs() + retryAfterMs + LEAVES_MS;
  }

  /** Its process is gone. */
  clientGone(client: string): void {
    for (const request of this.#keys.keys()) if (request.client === client) this.settled(request, 0);
  }

  /** A shard's owner sends a cut. */
  cut(data: Uint8Array): void {
    const cut = decode(data) as Cut;
    const of = `${cut.shard} ${cut.epoch} ${cut.seq}`;
    const sent = this.#cuts.get(of);
    if (sent === undefined) this.#cuts.set(of, [cut]);
    else sent.push(cut);
    const fold = this.#journal.fold(cut.shard);
    if (this.#journal.isLossy) return;
    if (cut.seq > fold.seq || cut.epoch > fold.epoch) {
      this.#verdict.broken('G2', `${cut.shard} reports the record ${cut.seq} of epoch ${cut.epoch}, the last stored is ${fold.seq}`);
    }
    const wanted = this.#wanted(cut.pool);
    if (cut.waiting + cut.refused > wanted) {
      this.#verdict.broken('G5', `${cut.shard} reports ${cut.waiting} waiting and ${cut.refused} refused, ${wanted} requests are there`);
    }
  }

  /** A replica begins to hear cuts; it may have become the janitor. */
  listens(replica: string, subscription: number): void {
    this.#heard.set(replica, { subscription, cuts: new Map() });
  }

  delivered(replica: string, subscription: number, data: Uint8Array): void {
    const heard = this.#heard.get(replica);
    if (heard?.subscription !== subscription) return;
    const cut = decode(data) as Cut;
    const newest = heard.cuts.get(cut.shard);
    if (newest === undefined) heard.cuts.set(cut.shard, [{ atMs: this.#clocks.nowMs(), cut }]);
    else if (isOlder(newest.at(-1)?.cut ?? cut, cut)) newest.push({ atMs: this.#clocks.nowMs(), cut });
  }

  /** The newest cut that the janitor had heard when it decided, by its own time of day. */
  #newest(intent: FoldedIntent, shard: string): Cut | undefined {
    const { owner = '' } = this.#journal.fold(JANITOR_SHARD);
    const ageMs = (this.#clocks.wallMs(owner) ?? 0) - intent.decidedAtMs;
    if (ageMs < 0 || ageMs > AGE_MAX_MS) return undefined;
    const decidedMs = this.#clocks.nowMs() - ageMs - 2;
    return this.#heard
      .get(owner)
      ?.cuts.get(shard)
      ?.findLast(({ atMs }) => atMs < decidedMs)?.cut;
  }

  #wanted(pool: string): number {
    const nowMs = this.#clocks.nowMs();
    let count = 0;
    for (const [key, wish] of this.#wishes) {
      if (!wish.isOpen && wish.untilMs < nowMs) this.#wishes.delete(key);
      else if (wish.pool === pool) count += 1;
    }
    return count;
  }

  #intent(intent: FoldedIntent): void {
    if (this.#journal.isLossy) return;
    const { epoch } = this.#journal.fold(JANITOR_SHARD);
    if (epoch !== this.#usedEpoch) this.#used.clear();
    this.#usedEpoch = epoch;
    for (const [shard, { start, drain, inputs }] of Object.entries(intent.parts)) {
      const said = `intent ${intent.n} (${intent.kind}) for ${shard}`;
      const same = (this.#cuts.get(`${shard} ${inputs.cutEpoch} ${inputs.cutSeq}`) ?? []).filter(
        ({ waiting, refused, warm, spawning, alive }) =>
          waiting === inputs.waiting &&
          refused === inputs.refused &&
          warm === inputs.warm &&
          spawning === inputs.spawning &&
          alive === inputs.alive,
      );
      const cut = same.at(-1);
      if (cut === undefined) {
        this.#verdict.broken('G5', `${said} is decided from a cut that nobody sent: ${JSON.stringify(inputs)}`);
        continue;
      }
      const used = this.#used.get(shard);
      if (used !== undefined && isOlder(cut, used)) {
        this.#verdict.broken('G5', `${said} uses the cut ${cut.epoch}/${cut.seq}, ${used.epoch}/${used.seq} was used before`);
      }
      this.#used.set(shard, cut);
      const newest = this.#newest(intent, shard);
      if (newest !== undefined && isOlder(cut, newest)) {
        this.#verdict.broken('G5', `${said} uses the cut ${cut.epoch}/${cut.seq}, ${newest.epoch}/${newest.seq} was heard before`);
      }
      if (start > 0) this.#up(intent, said, shard, start, cut);
      if (drain > 0) this.#down(said, shard, drain, cut, intent.pool);
    }
  }

  #up(intent: FoldedIntent, said: string, shard: string, start: number, cut: Cut): void {
    if (intent.kind === 'probe') {
      if (start !== 1) this.#verdict.broken('G5', `${said} probes with ${start}`);
      return;
    }
    const open = this.#open(shard, cut.intentApplied);
    const spec = this.#journal.config?.config.pools[intent.pool];
    if (spec === undefined) return this.#verdict.broken('G5', `${said} is of a pool that is not configured`);
    if (intent.kind === 'surge') {
      const most = Math.min(cut.warmOldTemplate, Math.max(1, Math.ceil(spec.floor * spec.surge)));
      if (start > most || open > 0) this.#verdict.broken('G5', `${said} surges by ${start}, ${most} at most (${open} ordered)`);
      return;
    }
    const floor = Math.ceil(spec.floor / spec.shards);
    const need = floor + cut.waiting + cut.refused - cut.warm - cut.spawning - open;
    if (start > need) this.#verdict.broken('G5', `${said} starts ${start}, needed are ${need} (${open} ordered before)`);
  }

  #down(said: string, shard: string, drain: number, cut: Cut, pool: string): void {
    const spec = this.#journal.config?.config.pools[pool];
    const floor = Math.floor((spec?.floor ?? 0) / (spec?.shards ?? 1));
    const surplus = cut.warm - floor - cut.waiting - cut.refused;
    if (drain > Math.max(1, Math.ceil(surplus / 4)) || surplus <= 0) {
      this.#verdict.broken('G5', `${said} drains ${drain} of a surplus of ${surplus}`);
    }
    if (this.#open(shard, cut.intentApplied) > 0) this.#verdict.broken('G5', `${said} drains while ${shard} has orders open`);
  }

  #open(shard: string, applied: number): number {
    let open = 0;
    for (const [n, earlier] of this.#journal.intents) if (n > applied) open += earlier.parts[shard]?.start ?? 0;
    return open;
  }
}

function isOlder(cut: Cut, than: Cut): boolean {
  return cut.epoch < than.epoch || (cut.epoch === than.epoch && cut.seq < than.seq);
}
