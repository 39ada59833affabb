// What the owner of a shard and its workers say to each other (DESIGN 8).
//
// Owns: hellos, beats and the silence of workers; commands to them. Decides nothing by itself: what it hears becomes an
// event of the slot.
// Invariants:
//   W1. The first instance of a slot that says hello is journaled; every other one is told to stop.
//   W2. A hello is answered with a welcome only after the record behind it is acknowledged.
//   W3. Silence is counted in executed ticks, and by itself ends no reservation that its worker may have taken. A grant of this
//       owner's whose worker falls silent before its yes goes to another one.
//   W4. What an owner before this one granted its client may have been told of: a worker that is not reached now is told
//       again, for as long as an activation may take.
import { BUDGETS, type PoolSpec } from '@muster/domain';
import type { BusMessage, HttpCaller } from '@muster/ports';
import {
  decode,
  decodeAs,
  encode,
  type HelloAnswer,
  isMusterError,
  isSameToken,
  parse,
  subjects,
  type WorkerAnswer,
  type WorkerBeat,
  type WorkerCommand,
  workerAnswerSchema,
  workerBeatSchema,
} from '@muster/protocol';
import type { OwnedShard, Turn } from '@muster/runtime';
import { ProbedWorkers } from './probed-workers.ts';
import type { ReserveDesk } from './reserve-desk.ts';
import type { Slot, SlotTable } from './slot-table.ts';

/** Beats of one shard's workers a second, at most (DESIGN 8). */
const BEATS_PER_SECOND_MAX = 500;
const TICK_MS = 1_000;
const TELL_AGAIN_MS = 500;
/** Beats in which nothing was heard before somebody else is given first; one may be late by a fifth. */
const QUIET_BEATS = 1.5;
/** Beats without a word after which no yes is waited for any more, however long the activation may take. */
const GIVEN_UP_BEATS = 3;
/** More than this share of a shard silent at once is taken for a fault of the link: nothing is removed. */
const SILENT_SHARE_MAX = 0.2;
/** Silent warm slots replaced a tick. */
const SILENT_REPLACED_PER_TICK = 1;

/** A worker's answer, or why there is none. */
type Heard = WorkerAnswer & { readonly isUnreached?: boolean };
type Activate = Extract<WorkerCommand, { type: 'activate' }>;

export interface Secrets {
  slotToken(slot: string): string;
  /** What a slot's worker proves to NATS who it is with; undefined where NATS asks for nothing. */
  natsCredentials?(slot: string): Promise<string> | undefined;
  reservationToken(reservation: string, slot: string, epoch: number): string;
}

export class WorkerLink {
  readonly #shard: OwnedShard;
  readonly #slots: SlotTable;
  readonly #desk: ReserveDesk;
  readonly #secrets: Secrets;
  readonly #spec: () => PoolSpec;
  readonly #probed: ProbedWorkers;
  /** Executed ticks since the last sign of life. */
  readonly #quietTicks = new Map<string, number>();
  /** Tokens of the slots that have been heard of: a beat is checked without making its token anew. */
  readonly #tokens = new Map<string, string>();
  /** Executed ticks since a worker without a slot said that it is active. */
  readonly #adopted = new Map<string, number>();
  #isAlarmed = false;
  #onSilent: () => void = () => undefined;

  constructor(options: {
    readonly shard: OwnedShard;
    readonly slots: SlotTable;
    readonly desk: ReserveDesk;
    readonly secrets: Secrets;
    readonly http: HttpCaller | undefined;
    spec(): PoolSpec;
  }) {
    this.#shard = options.shard;
    this.#slots = options.slots;
    this.#desk = options.desk;
    this.#secrets = options.secrets;
    this.#spec = () => options.spec();
    this.#probed = new ProbedWorkers(options.http);
    options.desk.onActivate((id) => this.activate(id));
  }

  /** Calls back once a tick in which somebody has fallen silent. */
  onSilent(listener: () => void): void {
    this.#onSilent = listener;
  }

  open(): void {
    this.#shard.subscribe(subjects.workerHellos(this.#shard.shard), (message) => this.#hear(message, true));
    this.#shard.subscribe(subjects.workerBeats(this.#shard.shard), (message) => this.#hear(message, false));
    this.#shard.setTimer('silence', TICK_MS, 'external', (turn) => this.#tick(turn));
  }

  /** Tells a slot's worker whose it is; called after the grant is committed. */
  activate(id: string): void {
    this.#shard.turn((turn) => {
      const slot = this.#slots.get(turn, id);
      if (slot === undefined || slot.state !== 'reserved.activating' || slot.reservation === null || slot.org === null) return;
      const told = this.#desk.activationOf(slot);
      if (told === undefined) return this.#askStatus(slot);
      const { reservation, org } = slot;
      const { isInherited, ...passed } = told;
      // Where nobody better was there: it has two beats to be heard in.
      const ticks = Math.floor(((GIVEN_UP_BEATS - 2) * this.#beatMs()) / TICK_MS);
      this.#quietTicks.set(id, Math.min(this.#quietTicks.get(id) ?? 0, ticks));
      const command: Activate = { type: 'activate', ...this.#head(slot), reservation: reservation.id, org, pool: slot.pool, ...passed };
      this.#tell(slot, command, isInherited ? this.#spec().activationMs : 0);
    });
  }

  #tell(slot: Slot, command: Activate, patienceMs: number): void {
    const { id, epoch } = slot;
    void this.#command(slot, command).then((answer) => {
      if (answer.isUnreached === true && patienceMs > 0) return this.#tellAgain(slot, command, patienceMs - TELL_AGAIN_MS);
      const kind = answer.ok ? 'activated' : answer.cause === 'request' ? 'refused-request' : 'refused-worker';
      this.#desk.activated(id, epoch, { kind, detail: answer.ok ? '' : answer.message });
    });
  }

  #tellAgain({ id, epoch }: Slot, command: Activate, patienceMs: number): void {
    this.#shard.setTimer(`tell:${id}`, TELL_AGAIN_MS, 'external', (turn) => {
      const slot = this.#slots.get(turn, id);
      if (slot?.state !== 'reserved.activating' || slot.epoch !== epoch) return;
      turn.afterCommit(() => this.#tell(slot, command, patienceMs));
    });
  }

  /**
   * The reservation is over and the slot is parked: closes its epoch at the worker. Nobody waits for an answer: one that is
   * lost is made up for by the next activation's higher epoch.
   */
  release(slot: Slot): void {
    const command: WorkerCommand = { type: 'release', ...this.#head(slot), reservation: `${slot.id}_${slot.epoch}` };
    if (this.#spec().probe !== undefined) return void this.#command(slot, command);
    if (slot.instance === null) return;
    this.#shard.bus.publish(subjects.workerCommand(slot.shard, slot.id, slot.instance), encode(command));
  }

  /** Wants the worker to forget its org; what it says becomes an event. */
  reset(slot: Slot): void {
    void this.#command(slot, { type: 'reset', ...this.#head(slot), reservation: `${slot.id}_${slot.epoch}` }).then((answer) => {
      this.#shard.turn((turn) => {
        const now = this.#slots.get(turn, slot.id);
        if (now === undefined || now.state !== 'reserved.resetting' || now.epoch !== slot.epoch) return;
        this.#slots.change(turn, slot.id, answer.ok ? { type: 'worker.reset' } : { type: 'reset.failed', detail: answer.message });
      });
    });
  }

  /** Asks the worker to finish and go; the driver's stop follows. */
  drain(slot: Slot, graceMs: number): Promise<WorkerAnswer> {
    return this.#command(slot, { type: 'drain', ...this.#head(slot), reservation: `${slot.id}_${slot.epoch}`, graceMs });
  }

  /** What runs a worker that does not beat says whether it may be used. */
  noteReady(id: string, isReady: boolean): void {
    if (isReady) this.#slots.silent.delete(id);
    else this.#slots.silent.add(id);
  }

  forget(id: string): void {
    this.#quietTicks.delete(id);
    this.#tokens.delete(id);
  }

  #head(slot: Slot) {
    return { slot: slot.id, instance: slot.instance ?? '', epoch: slot.epoch } as const;
  }

  /** Never rejects: what is not an answer is a failure of the worker. */
  async #command(slot: Slot, command: WorkerCommand): Promise<Heard> {
    if (slot.instance === null) return { ok: false, cause: 'worker', message: 'the worker has not said hello' };
    const { activationMs, probe } = this.#spec();
    if (probe !== undefined) return this.#probed.tell(probe, slot.endpoint, command, activationMs);
    try {
      const subject = subjects.workerCommand(slot.shard, slot.id, slot.instance);
      const reply = await this.#shard.bus.request(subject, encode(command), { timeoutMs: activationMs });
      return parse(workerAnswerSchema, decode(reply.data));
    } catch (error) {
      const message = isMusterError(error, 'timeout') ? `no answer within ${activationMs} ms` : String(error);
      const isUnreached = isMusterError(error, 'no-responders') || isMusterError(error, 'disconnected');
      return { ok: false, cause: 'worker', message, isUnreached };
    }
  }

  /** After a takeover nobody here knows how far an activation had come: the worker does. */
  #askStatus(slot: Slot): void {
    void this.#command(slot, { type: 'status', ...this.#head(slot), reservation: `${slot.id}_${slot.epoch}` }).then((answer) => {
      if (answer.ok && answer.beat !== undefined) this.#shard.turn((turn) => this.#noteActive(turn, slot.id, answer.beat));
    });
  }

  #giveUp(turn: Turn, id: string, silentMs: number): void {
    const slot = this.#slots.get(turn, id);
    if (slot === undefined || !this.#desk.isGrantedHere(id)) return;
    this.#shard.logger.warn({ slot: id, org: slot.org, silentMs }, 'a worker has fallen silent in its activation');
    this.#desk.activated(id, slot.epoch, { kind: 'refused-worker', detail: `nothing was heard of the worker for ${silentMs} ms` });
  }

  #noteActive(turn: Turn, id: string, beat: WorkerBeat | undefined): void {
    const slot = this.#slots.get(turn, id);
    if (slot?.state !== 'reserved.activating' || beat?.state !== 'active') return;
    // The org as well: where NATS lost the first grant of an epoch, the second has the same id.
    if (beat.reservation !== slot.reservation?.id || beat.org !== slot.org) return;
    this.#desk.activated(id, slot.epoch, { kind: 'activated', detail: '' });
  }

  #hear(message: BusMessage, isHello: boolean): void {
    const id = message.subject.split('.')[4] ?? '';
    let beat: WorkerBeat;
    try {
      beat = decodeAs(workerBeatSchema, message.data);
    } catch (error) {
      this.#shard.logger.warn({ slot: id, error: String(error) }, 'a worker said something that cannot be read');
      return;
    }
    if (!isSameToken(beat.token, this.#tokens.get(id) ?? this.#secrets.slotToken(id))) {
      this.#shard.logger.warn({ slot: id }, 'a worker spoke with a wrong token');
      return this.#reply(message, { type: 'stop', reason: 'the token is not the one of this slot' });
    }
    // Most beats say nothing new: they cost no turn.
    const isOccupied = this.#slots.occupied.has(id);
    if (!isHello && this.#quietTicks.has(id) && beat.state !== 'active' && !isOccupied) return this.#alive(id);
    this.#shard.turn((turn) => this.#heard(turn, id, beat, isHello ? message : undefined));
  }

  #heard(turn: Turn, id: string, beat: WorkerBeat, hello: BusMessage | undefined): void {
    const slot = this.#slots.get(turn, id);
    if (slot === undefined && beat.state === 'active') return this.#adopt(id);
    if (slot === undefined) return this.#stop(turn, hello, 'there is no such slot');
    if (slot.state === 'draining') return this.#stop(turn, hello, 'the slot is draining');
    if (slot.instance !== null && slot.instance !== beat.instance) return this.#stop(turn, hello, 'another instance has the slot');
    this.#tokens.set(id, beat.token);
    this.#alive(id);
    if (slot.state === 'spawning') {
      this.#slots.change(turn, id, { type: 'worker.ready', instance: beat.instance, endpoint: beat.endpoint });
    } else {
      this.#noteOccupied(turn, slot, beat);
      this.#noteActive(turn, id, beat);
    }
    if (hello !== undefined) turn.afterCommit(() => this.#reply(hello, { type: 'welcome', beatMs: this.#beatMs() }));
  }

  /**
   * NATS has lost writes that it had acknowledged: this worker serves somebody whom no journal knows. It is left alone for
   * as long as it says so (G7, G9); once it is idle the sweep removes it.
   */
  #adopt(id: string): void {
    if (!this.#adopted.has(id))
      this.#shard.logger.error({ slot: id }, 'a worker serves a reservation that no journal knows: it is left alone');
    this.#adopted.set(id, 0);
  }

  /** A worker without a slot that has said lately that it serves somebody. */
  isAdopted(id: string): boolean {
    return this.#adopted.has(id);
  }

  /** A slot that is free by the journal, and whose worker serves somebody: as with an unknown one, it is left alone. */
  #noteOccupied(turn: Turn, slot: Slot, beat: WorkerBeat): void {
    const { occupied } = this.#slots;
    if (slot.state !== 'warm' || beat.state !== 'active') {
      if (occupied.delete(slot.id)) this.#desk.serve(turn);
      return;
    }
    if (occupied.has(slot.id)) return;
    occupied.add(slot.id);
    this.#shard.logger.error({ slot: slot.id, reservation: beat.reservation }, 'a warm worker serves a reservation that no journal knows');
  }

  /** Every answer that states something waits for an append, this one too. */
  #stop(turn: Turn, hello: BusMessage | undefined, reason: string): void {
    if (hello !== undefined) turn.afterCommit(() => this.#reply(hello, { type: 'stop', reason }));
  }

  #reply(message: BusMessage, answer: HelloAnswer): void {
    if (message.expectsReply) message.respond(encode(answer));
  }

  #beatMs(): number {
    return Math.max(BUDGETS.beatMs, Math.ceil((this.#slots.alive / BEATS_PER_SECOND_MAX) * 1_000));
  }

  #alive(id: string): void {
    this.#quietTicks.set(id, 0);
    this.#slots.quiet.delete(id);
    this.#slots.silent.delete(id);
  }

  #tick(turn: Turn): void {
    this.#shard.setTimer('silence', TICK_MS, 'external', (next) => this.#tick(next));
    const beatMs = this.#beatMs();
    const lostMs = Math.max(BUDGETS.beatLostMs, beatMs * 3);
    // Who says no hello does not beat either: whether it is silent is said by what runs it (`noteReady`).
    const beating = this.#spec().probe === undefined ? this.#slots.states(turn) : [];
    let isNews = false;
    for (const [id, state] of beating) {
      if (state === 'spawning' || state === 'draining') continue;
      const ticks = (this.#quietTicks.get(id) ?? 0) + 1;
      this.#quietTicks.set(id, ticks);
      if (ticks * TICK_MS >= QUIET_BEATS * beatMs) this.#slots.quiet.add(id);
      if (state === 'reserved.activating' && ticks * TICK_MS >= GIVEN_UP_BEATS * beatMs) this.#giveUp(turn, id, ticks * TICK_MS);
      if (ticks * TICK_MS >= lostMs && !this.#slots.silent.has(id)) {
        this.#slots.silent.add(id);
        isNews = true;
        const org = this.#slots.get(turn, id)?.org;
        this.#shard.logger.warn({ slot: id, org, silentMs: ticks * TICK_MS }, 'a worker has fallen silent');
      }
    }
    if (isNews) this.#onSilent();
    for (const [id, ticks] of this.#adopted) {
      if (ticks * TICK_MS >= lostMs) this.#adopted.delete(id);
      else this.#adopted.set(id, ticks + 1);
    }
    const { silent } = this.#slots;
    if (silent.size === 0) return void (this.#isAlarmed = false);
    if (silent.size > Math.max(1, this.#slots.alive * SILENT_SHARE_MAX)) {
      if (!this.#isAlarmed) {
        this.#shard.logger.error({ silent: silent.size, alive: this.#slots.alive }, 'too many workers are silent at once: none is removed');
      }
      this.#isAlarmed = true;
      return;
    }
    let replaced = 0;
    for (const id of silent) {
      if (replaced >= SILENT_REPLACED_PER_TICK) break;
      if (this.#slots.get(turn, id)?.state !== 'warm') continue;
      replaced += 1;
      this.#slots.change(turn, id, { type: 'drain.ordered', reason: 'silent' });
    }
  }
}
