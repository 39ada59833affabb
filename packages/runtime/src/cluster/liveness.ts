// Who is alive, and which shards have been silent for how long. Cheap, and never trusted for safety.
//
//   B1. Silence is counted in ticks that were executed, after what was received has been looked at: a process that stood
//       still for an hour has heard nothing for one tick.
//   B2. It counts from zero after a (re)connect, and not at all while disconnected.
//   B3. A beat speaks for the shards that it names only; a shard that is frozen at its owner is not named.
import type { Clock, Logger, MessageBus, Subscription, Timer } from '@muster/ports';
import { decode, encode, subjects } from '@muster/protocol';
import type { Json, ReplicaStatus } from '../contract.ts';
import { RECORD_VERSION } from '../journal/record.ts';
import type { LoopWatch } from '../shard/loop-watch.ts';

/** Ticks in the take-over time. */
export const TICKS_PER_TAKEOVER = 8;
const TICKS_PER_BEAT = 2;
/** Replicas that were not heard for so many take-over times are forgotten. */
const FORGET_AFTER = 40;

/** What a beat says. */
export interface Beat {
  readonly v: number;
  /** Shards that it owns and that are not frozen, with the last position of each. */
  readonly shards: Readonly<Record<string, number>>;
  /** Shards that it could own: it knows what they are, and follows them. */
  readonly able: readonly string[];
  /** How far it follows the stream; absent while it reads from the start. */
  readonly at?: number;
  readonly about: Json;
  /** It stops: the last beat. */
  readonly isLeaving?: boolean;
}

/** Another replica as it was heard of. */
export interface Peer {
  readonly replica: string;
  beat: Beat;
  silentTicks: number;
  /** Of this replica's ticks, since it has been heard without a break. */
  steadyTicks: number;
}

export interface LivenessOptions {
  readonly replica: string;
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly watch: LoopWatch;
  readonly takeoverMs: number;
  readonly about: Json;
  readonly owned: () => Readonly<Record<string, number>>;
  readonly able: () => readonly string[];
  readonly at: () => number | undefined;
  /** After each tick, when what was received before has been counted. */
  readonly onTick: () => void;
}

export class Liveness {
  readonly #options: LivenessOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #silentTicks = new Map<string, number>();
  #subscription: Subscription | undefined;
  #status: Subscription | undefined;
  #timer: Timer | undefined;
  #ticks = 0;
  #isClosed = false;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  start(): void {
    const { bus } = this.#options;
    this.#subscription = bus.subscribe(subjects.replicaBeats(), (message) => this.#heard(message.subject, message.data));
    this.#status = bus.onStatus((status) => {
      if (status === 'connected') for (const shard of this.#silentTicks.keys()) this.#silentTicks.set(shard, 0);
    });
    this.beat();
    this.#arm();
  }

  get tickMs(): number {
    return this.#options.takeoverMs / TICKS_PER_TAKEOVER;
  }

  /** Something of the shard was heard. */
  heardShard(shard: string): void {
    this.#silentTicks.set(shard, 0);
  }

  /** For how many ticks nothing of it was. */
  silentTicks(shard: string): number {
    return this.#silentTicks.get(shard) ?? 0;
  }

  /** Others that are alive. */
  alive(): readonly Peer[] {
    return [...this.#peers.values()].filter((peer) => isAlive(peer));
  }

  statuses(own: ReplicaStatus): readonly ReplicaStatus[] {
    const others = [...this.#peers.values()].map((peer) => ({
      replica: peer.replica,
      isAlive: isAlive(peer),
      shards: isAlive(peer) ? Object.keys(peer.beat.shards) : [],
      about: peer.beat.about,
    }));
    return [own, ...others].toSorted((one, other) => (one.replica < other.replica ? -1 : 1));
  }

  /** Says what this replica owns, now. */
  beat(isLeaving = false): void {
    const { bus, replica, about, owned, able, at } = this.#options;
    if (!bus.isConnected) return;
    const position = at();
    const beat: Beat = {
      v: RECORD_VERSION,
      shards: isLeaving ? {} : owned(),
      able: isLeaving ? [] : able(),
      ...(position === undefined ? {} : { at: position }),
      about,
      ...(isLeaving ? { isLeaving } : {}),
    };
    bus.publish(subjects.replicaBeat(replica), encode(beat));
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#subscription?.unsubscribe();
    this.#status?.unsubscribe();
  }

  #arm(): void {
    const { clock, watch } = this.#options;
    if (this.#isClosed) return;
    this.#timer = clock.setTimer(this.tickMs, () => {
      watch.observe();
      // Whatever has been received by now is delivered before this timer of no delay.
      this.#timer = clock.setTimer(0, () => {
        this.#tick();
        this.#arm();
      });
    });
  }

  #tick(): void {
    const { bus, onTick } = this.#options;
    this.#ticks += 1;
    if (bus.isConnected) {
      for (const [shard, ticks] of this.#silentTicks) this.#silentTicks.set(shard, ticks + 1);
      for (const peer of this.#peers.values()) {
        peer.silentTicks += 1;
        if (isAlive(peer)) peer.steadyTicks += 1;
        else peer.steadyTicks = 0;
        if (peer.silentTicks > FORGET_AFTER * TICKS_PER_TAKEOVER) this.#peers.delete(peer.replica);
      }
    }
    if (this.#ticks % TICKS_PER_BEAT === 0) this.beat();
    onTick();
  }

  /** Silence of this shard is counted from now on. */
  watchShard(shard: string): void {
    if (!this.#silentTicks.has(shard)) this.#silentTicks.set(shard, 0);
  }

  #heard(subject: string, data: Uint8Array): void {
    const replica = subject.split('.')[3] ?? '';
    if (replica === this.#options.replica) return;
    const beat = tryParseBeat(data);
    if (beat === undefined) {
      this.#options.logger.warn({ subject }, 'a beat cannot be read');
      return;
    }
    const peer = this.#peers.get(replica);
    if (peer === undefined) {
      this.#peers.set(replica, { replica, beat, silentTicks: 0, steadyTicks: 0 });
    } else {
      peer.beat = beat;
      peer.silentTicks = 0;
    }
    if (beat.isLeaving === true) this.#peers.delete(replica);
    for (const shard of Object.keys(beat.shards)) this.heardShard(shard);
  }
}

function isAlive(peer: Peer): boolean {
  return peer.silentTicks < TICKS_PER_TAKEOVER;
}

function tryParseBeat(data: Uint8Array): Beat | undefined {
  let value: unknown;
  try {
    value = decode(data);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { v, shards, able, at, about, isLeaving } = value as Record<string, unknown>;
  if (typeof v !== 'number' || typeof shards !== 'object' || shards === null) return undefined;
  if (Object.values(shards).some((seq) => typeof seq !== 'number')) return undefined;
  return {
    v,
    shards: shards as Beat['shards'],
    able: Array.isArray(able) ? able.filter((shard) => typeof shard === 'string') : [],
    ...(typeof at === 'number' ? { at } : {}),
    about: typeof about === 'object' && about !== null ? (about as Json) : {},
    ...(isLeaving === true ? { isLeaving } : {}),
  };
}
