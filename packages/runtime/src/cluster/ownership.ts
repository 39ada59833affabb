// Which shards this replica owns: takes them, opens them, gives them away, loses them.
//
// Owns: the life of each `LiveShard` and its chain. The journal alone decides who is the owner; this decides when to try.
//   Q1. A shard is tried only by a replica that follows at the current end, whose last record is the stored one.
//   Q2. Nothing of a shard runs here before its epoch record is acknowledged, or after another's was seen.
//   Q3. After `handover` this replica appends nothing to the shard, and refuses its requests until the heir has it.
import type { Clock, Journal, Logger, MessageBus, Metrics, Random, Subscription, Timer } from '@muster/ports';
import type { Shadow, ShardDefinition } from '../contract.ts';
import type { Follower } from '../journal/follower.ts';
import { encodeRecord, type JournalRecord, parseRecord, RECORD_VERSION } from '../journal/record.ts';
import type { ShadowShard } from '../journal/shadow.ts';
import { Snapshotter } from '../journal/snapshotter.ts';
import type { RuntimeMetrics } from '../metrics.ts';
import { Chain } from '../shard/chain.ts';
import type { LoopWatch } from '../shard/loop-watch.ts';
import { LiveShard } from '../shard/owned-shard.ts';
import { type Liveness, TICKS_PER_TAKEOVER } from './liveness.ts';
import { type Candidate, chooseHeirs, chooseMove } from './moves.ts';
import { claimOrder } from './rendezvous.ts';
import { serveCommands } from './wire.ts';

export interface OwnershipOptions {
  readonly replica: string;
  /** Random, per process start. */
  readonly by: string;
  readonly bus: MessageBus;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly counters: RuntimeMetrics;
  readonly watch: LoopWatch;
  readonly follower: Follower;
  readonly liveness: Liveness;
  readonly takeoverMs: number;
  readonly moveAfterMs: number;
  readonly stayMs: number;
  readonly tasksMax: number;
  readonly snapshotBytesMin: number;
  readonly watchShadow: (shard: string, changed: (shadow: Shadow) => void) => Subscription;
}

interface Holding {
  readonly shard: string;
  readonly definition: ShardDefinition;
  readonly chain: Chain;
  /** Undefined until the epoch record is acknowledged and followed. */
  live: LiveShard | undefined;
  snapshotter: Snapshotter | undefined;
  commands: Subscription | undefined;
  openFallback: Timer | undefined;
  isAcknowledged: boolean;
  /** It is being given away, or up. */
  parting: Promise<void> | undefined;
  /** Its handover was followed: it is stored, whenever its acknowledgement comes. */
  isGiven: boolean;
  sinceMs: number;
}

const RANK_TICKS = 2;
const RANK_MAX = 4;
const LOST_TAIL_READS = 3;
const POSITION_TICKS = 4;

export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #definitions = new Map<string, ShardDefinition>();
  readonly #holdings = new Map<string, Holding>();
  readonly #taking = new Set<string>();
  /** Shards handed over, with who refuses their requests until the heir has them. */
  readonly #handedOver = new Map<string, { readonly commands: Subscription | undefined; ticks: number }>();
  readonly #shorter = new Map<string, number>();
  /** Ticks until the next move may be looked at. */
  #quietTicks = TICKS_PER_TAKEOVER;
  /** Where the stream was in the last ticks. */
  readonly #positions: number[] = [];
  #isStopping = false;

  constructor(options: OwnershipOptions) {
    this.#options = options;
  }

  define(definitions: readonly ShardDefinition[]): void {
    this.#definitions.clear();
    for (const definition of definitions) {
      this.#definitions.set(definition.shard, definition);
      this.#options.liveness.watchShard(definition.shard);
      this.#options.follower.define(definition);
    }
    this.#options.counters.shards.set(definitions.length);
    this.#consider();
  }

  live(shard: string): LiveShard | undefined {
    return this.#holdings.get(shard)?.live;
  }

  /** Shards that are named in the beats, with their positions. */
  beating(): Readonly<Record<string, number>> {
    const beating: Record<string, number> = {};
    for (const { shard, live, chain } of this.#holdings.values()) {
      if (live !== undefined && !live.isFrozen && !live.isLeaving) beating[shard] = chain.lastSeq;
    }
    return beating;
  }

  /** Shards that this replica could own. */
  able(): readonly string[] {
    return [...this.#definitions.keys()].filter((shard) => this.#options.follower.shadow(shard)?.stopped === undefined);
  }

  owned(): readonly string[] {
    return [...this.#holdings.values()].filter(({ live }) => live !== undefined && !live.isLeaving).map(({ shard }) => shard);
  }

  linkChanged(isUp: boolean): void {
    for (const { chain } of this.#holdings.values()) chain.setLink(isUp);
  }

  tick(): void {
    this.#positions.push(this.#options.follower.seq);
    if (this.#positions.length > POSITION_TICKS) this.#positions.shift();
    for (const { live } of this.#holdings.values()) live?.tick();
    for (const [shard, handed] of this.#handedOver) if (--handed.ticks <= 0) this.#forgetHandedOver(shard);
    this.#consider();
    if (this.#quietTicks > 0) this.#quietTicks -= 1;
    else this.#balance();
  }

  /** After each record that was followed. */
  followed(shadow: ShadowShard, record: JournalRecord): void {
    const { by, replica, liveness } = this.#options;
    const { shard } = shadow;
    const holding = this.#holdings.get(shard);
    if (record.type === 'handover') {
      this.#quietTicks = TICKS_PER_TAKEOVER;
      if (record.by === by && record.epoch === holding?.chain.epoch) holding.isGiven = true;
    }
    if (record.type === 'epoch' && record.by !== by) {
      this.#forgetHandedOver(shard);
      // One that was given away is not lost, also where the heir is faster than the acknowledgement of the handover.
      if (holding?.isGiven === false && record.epoch >= holding.chain.epoch) holding.chain.depose('another replica has taken the shard');
    }
    if (holding?.live === undefined && holding?.isAcknowledged === true && record.by === by) this.#open(holding);
    holding?.snapshotter?.consider();
    liveness.heardShard(shard);
    if (shadow.handedTo === replica) this.#consider();
  }

  /** The shard's journal cannot be followed any further: nobody could take it over, so nobody goes on with it. */
  stopped(shadow: ShadowShard): void {
    this.#holdings.get(shadow.shard)?.chain.depose(`its journal is stopped: ${shadow.stopped}`);
  }

  /** The shadows are empty and are read again. */
  reset(): void {
    for (const { snapshotter } of this.#holdings.values()) snapshotter?.cancel();
  }

  /** Gives everything away; resolves when the heirs have it, or after the take-over time. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const holdings = [...this.#holdings.values()];
    const heirs = chooseHeirs(
      holdings.map(({ shard }) => shard),
      this.#candidates(0),
    );
    await Promise.all(holdings.map((holding) => this.#part(holding, heirs.get(holding.shard))));
    await this.#heirsHaveIt();
  }

  close(): void {
    this.#isStopping = true;
    for (const holding of this.#holdings.values()) this.#drop(holding, 'stopped');
    for (const shard of this.#handedOver.keys()) this.#forgetHandedOver(shard);
  }

  #consider(): void {
    const { follower, bus } = this.#options;
    if (this.#isStopping || !follower.isCaughtUp || !bus.isConnected) return;
    for (const definition of this.#definitions.values()) {
      if (this.#isDue(definition.shard)) void this.#take(definition);
    }
  }

  /** Whether this replica should try to own the shard now. */
  #isDue(shard: string): boolean {
    const { follower, liveness, replica } = this.#options;
    if (this.#holdings.has(shard) || this.#taking.has(shard)) return false;
    const shadow = follower.shadow(shard);
    if (shadow?.stopped !== undefined || shadow?.isLoading === true) return false;
    if (shadow?.handedTo === replica) return true;
    // A shard that never had an owner has nobody whose silence would have to be heard.
    const silence = shadow === undefined || shadow.seq === 0 ? 0 : TICKS_PER_TAKEOVER;
    const silentTicks = liveness.silentTicks(shard);
    // Nearly always: who would be the next is worth a look only where one is missing (shards times replicas, every tick).
    if (silentTicks < silence) return false;
    const others = liveness.alive().filter(({ beat }) => beat.able.includes(shard));
    const rank = claimOrder(shard, [replica, ...others.map((peer) => peer.replica)]).indexOf(replica);
    const patience = RANK_TICKS * Math.min(rank, RANK_MAX);
    return silentTicks >= silence + patience;
  }

  async #take(definition: ShardDefinition): Promise<void> {
    const { shard } = definition;
    const { bus, follower, logger, journal } = this.#options;
    this.#taking.add(shard);
    try {
      // Everything that was sent to this process before now has been looked at when this returns.
      await bus.flush();
      const last = await journal.last(shard);
      this.#taking.delete(shard);
      if (this.#isStopping || !follower.isCaughtUp || !this.#isDue(shard)) return;
      const shadow = follower.shadow(shard);
      const seen = { seq: shadow?.seq ?? 0, op: shadow?.op ?? '' };
      const stored = { seq: last?.seq ?? 0, op: last === undefined ? '' : parseRecord(last).record.op };
      if (stored.seq > seen.seq) return; // It follows; a record that comes now is a sign of life anyway.
      if (stored.seq < seen.seq || stored.op !== seen.op) {
        this.#isShorter(shard, stored.seq, seen.seq);
        return;
      }
      this.#shorter.delete(shard);
      this.#claim(definition, seen, (shadow?.epoch ?? 0) + 1);
    } catch (error) {
      logger.warn({ shard, error }, 'a shard cannot be taken now');
    } finally {
      this.#taking.delete(shard);
    }
  }

  /** The stored journal is shorter than what was seen of it. One read may be old; several are not. */
  #isShorter(shard: string, storedSeq: number, seenSeq: number): void {
    const times = (this.#shorter.get(shard) ?? 0) + 1;
    this.#shorter.set(shard, times);
    if (times < LOST_TAIL_READS) return;
    this.#shorter.delete(shard);
    this.#options.follower.reload(`${shard}: ends at ${storedSeq}, ${seenSeq} was seen`);
  }

  #claim(definition: ShardDefinition, seen: { readonly seq: number; readonly op: string }, epoch: number): void {
    const { journal, clock, random, logger, counters, watch, by, bus, replica, takeoverMs } = this.#options;
    const { shard } = definition;
    let holding: Holding | undefined;
    const chain = new Chain({
      shard,
      journal,
      clock,
      random,
      logger,
      metrics: counters,
      watch,
      by,
      epoch,
      lastSeq: seen.seq,
      lastOp: seen.op,
      appendTimeoutMs: Math.max(1_000, takeoverMs),
      isLinkUp: bus.isConnected,
      onDeposed: (why) => {
        if (holding !== undefined) this.#deposed(holding, why);
      },
      onChange: () => holding?.live?.chainChanged(),
    });
    holding = {
      shard,
      definition,
      chain,
      live: undefined,
      snapshotter: undefined,
      commands: undefined,
      openFallback: undefined,
      isAcknowledged: false,
      parting: undefined,
      isGiven: false,
      sinceMs: clock.monotonicMs(),
    };
    this.#holdings.set(shard, holding);
    const claimed = holding;
    const extra = `,"replica":${JSON.stringify(replica)},"retain":${JSON.stringify(retainOf(definition))}`;
    chain.submit({
      type: 'epoch',
      encode: (head) => encodeRecord(head, extra, ''),
      releases: [{ release: () => this.#acknowledged(claimed) }],
    });
  }

  /** The journal says that it is ours. It opens when our own record has been followed, whose time stamp says what time it is. */
  #acknowledged(holding: Holding): void {
    const { follower, clock, takeoverMs } = this.#options;
    holding.isAcknowledged = true;
    if ((follower.shadow(holding.shard)?.seq ?? 0) >= holding.chain.lastSeq) this.#open(holding);
    else holding.openFallback = clock.setTimer(takeoverMs / 2, () => this.#open(holding));
  }

  #open(holding: Holding): void {
    const { follower, counters, logger, bus, clock, replica } = this.#options;
    const { shard, chain, definition } = holding;
    holding.openFallback?.cancel();
    if (holding.live !== undefined || chain.isClosed || this.#holdings.get(shard) !== holding) return;
    const shadow = follower.shadow(shard);
    if (shadow === undefined || !chain.isAtStart(shadow) || shadow.stopped !== undefined) {
      this.#drop(holding, 'stopped');
      return;
    }
    const live = new LiveShard({
      ...this.#options,
      definition,
      epoch: chain.epoch,
      chain,
      shadow,
      retain: retainOf(definition),
      takenAtStreamMs: follower.streamNowMs ?? 0,
      logger: logger.child({ shard, replica }),
      recordBytesMax: this.#options.journal.recordBytesMax,
      shadowOf: (other) => follower.shadow(other),
    });
    holding.live = live;
    holding.sinceMs = clock.monotonicMs();
    counters.takeovers.add({ shard });
    logger.info({ shard, epoch: chain.epoch }, 'shard taken');
    try {
      live.open();
    } catch {
      this.#drop(holding, 'stopped');
      return;
    }
    holding.snapshotter = new Snapshotter({ ...this.#options, chain, shadow, bytesMin: this.#options.snapshotBytesMin });
    holding.commands = serveCommands(bus, clock, live, definition);
    this.#countOwned();
    this.#options.liveness.beat();
  }

  #deposed(holding: Holding, why: string): void {
    const { logger, counters } = this.#options;
    if (holding.isAcknowledged) {
      counters.deposed.add();
      logger.warn({ shard: holding.shard, epoch: holding.chain.epoch, why }, 'shard lost');
    } else {
      logger.debug({ shard: holding.shard, why }, 'another replica was first');
    }
    this.#drop(holding, 'deposed');
  }

  #drop(holding: Holding, reason: 'deposed' | 'stopped'): void {
    if (this.#holdings.get(holding.shard) !== holding) return;
    this.#holdings.delete(holding.shard);
    holding.openFallback?.cancel();
    holding.snapshotter?.cancel();
    holding.commands?.unsubscribe();
    if (holding.live === undefined) holding.chain.close();
    else holding.live.close(reason);
    this.#options.liveness.heardShard(holding.shard);
    this.#countOwned();
  }

  /** Stops deciding, and hands over where there is an heir. Once: nothing follows a handover, and a stop may come while one is under way. */
  #part(holding: Holding, heir: string | undefined): Promise<void> {
    holding.parting ??= this.#giveUp(holding, heir);
    return holding.parting;
  }

  async #giveUp(holding: Holding, heir: string | undefined): Promise<void> {
    const { shard, live } = holding;
    const { logger, liveness, follower } = this.#options;
    if (live === undefined) {
      this.#drop(holding, 'stopped');
      return;
    }
    holding.snapshotter?.cancel();
    const isLast = await live.leave(heir);
    if (!isLast || this.#holdings.get(shard) !== holding) return;
    if (heir === undefined) {
      this.#drop(holding, 'stopped');
      return;
    }
    logger.info({ shard, to: heir }, 'shard handed over');
    this.#holdings.delete(shard);
    // Requests still come here until the heir has it; they are refused, which costs their askers one more try.
    if ((follower.shadow(shard)?.epoch ?? 0) > holding.chain.epoch) holding.commands?.unsubscribe();
    else this.#handedOver.set(shard, { commands: holding.commands, ticks: TICKS_PER_TAKEOVER });
    live.close('handed-over');
    liveness.heardShard(shard);
    this.#countOwned();
  }

  async #heirsHaveIt(): Promise<void> {
    const { clock, takeoverMs } = this.#options;
    const deadlineMs = clock.monotonicMs() + takeoverMs;
    while (this.#handedOver.size > 0 && clock.monotonicMs() < deadlineMs) {
      await new Promise<void>((resolve) => void clock.setTimer(10, resolve));
    }
  }

  #forgetHandedOver(shard: string): void {
    this.#handedOver.get(shard)?.commands?.unsubscribe();
    this.#handedOver.delete(shard);
  }

  #balance(): void {
    const { replica, clock, stayMs, moveAfterMs, liveness } = this.#options;
    if (this.#isStopping || [...this.#holdings.values()].some(({ live, parting }) => live === undefined || parting !== undefined)) return;
    const nowMs = clock.monotonicMs();
    const shards = [...this.#holdings.keys()];
    const movable = [...this.#holdings.values()].filter(({ sinceMs, live }) => nowMs - sinceMs >= stayMs && live?.isFrozen === false);
    const move = chooseMove(
      { replica, shards, movable: movable.map(({ shard }) => shard) },
      this.#candidates(Math.ceil(moveAfterMs / liveness.tickMs)),
    );
    const holding = move === undefined ? undefined : this.#holdings.get(move.shard);
    if (move !== undefined && holding !== undefined) void this.#part(holding, move.to);
  }

  #candidates(steadyTicks: number): readonly Candidate[] {
    // A beat is up to a quarter of the take-over time old: what is compared is where this replica was then.
    const position = this.#positions[0] ?? 0;
    return this.#options.liveness.alive().map(({ replica, beat, steadyTicks: steady }) => ({
      replica,
      shards: Object.keys(beat.shards).length,
      // A beat is up to a quarter of the take-over time old: under load what it says lags behind by so much.
      canTake: (shard) =>
        beat.able.includes(shard) && beat.v === RECORD_VERSION && steady >= steadyTicks && beat.at !== undefined && beat.at >= position,
    }));
  }

  #countOwned(): void {
    this.#options.counters.shardsOwned.set(this.owned().length);
  }
}

function retainOf(definition: ShardDefinition): Readonly<Record<string, number>> {
  const retain: Record<string, number> = {};
  for (const kind of definition.kinds) if (kind.retain !== undefined) retain[kind.kind] = kind.retain;
  return retain;
}
