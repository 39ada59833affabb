// What is going on, for people: committed transitions on `muster.v1.events.>`, and the latest record of each slot in a KV
// bucket. Off the hot path, bounded, shed first under load; nothing ever decides from either (DESIGN 4.2).
//
//   I1. Of a record leaves what `shownRecord` lets be shown: who looks on learns nothing that a token could be had by.
import { shownRecord } from '@muster/pool';
import type { Clock, LatestValues, MessageBus, Metrics, Timer } from '@muster/ports';
import { encode, subjects } from '@muster/protocol';
import type { RuntimeOptions } from '@muster/runtime';

type Inspected = Parameters<NonNullable<RuntimeOptions['inspect']>>[0];

const FLUSH_MS = 50;
/** Events published in a second; what comes beyond it is dropped and counted. */
const EVENTS_PER_SECOND = 200;
/** A slot's record is put at most once in this time. */
const PUT_MS = 1_000;
/** 200 a second, evenly: many at once would hold up the appends that are under way beside them. */
const PUTS_PER_FLUSH = 10;
const PENDING_MAX = 20_000;

export class Inspection {
  readonly #bus: MessageBus;
  readonly #values: LatestValues;
  readonly #clock: Clock;
  readonly #shed;
  readonly #events: Inspected[] = [];
  /** Events that this second still takes. */
  #room = EVENTS_PER_SECOND;
  #secondSinceMs: number;
  /** The newest record by key; undefined: gone. */
  readonly #records = new Map<string, Inspected['record']>();
  /** When a key was put, of the last second, oldest first. */
  readonly #putAtMs = new Map<string, number>();
  #flushing: Timer;
  #isPutting = false;

  constructor(options: { readonly bus: MessageBus; readonly values: LatestValues; readonly clock: Clock; readonly metrics: Metrics }) {
    this.#bus = options.bus;
    this.#values = options.values;
    this.#clock = options.clock;
    this.#shed = options.metrics.counter({
      name: 'muster_inspection_shed_total',
      help: 'Events and slot records that were not shown',
      labels: ['what'],
    });
    this.#secondSinceMs = options.clock.monotonicMs();
    this.#flushing = this.#flushLater();
  }

  /** Takes one committed transition; never throws, never waits. */
  readonly inspect = (event: Inspected): void => {
    if (this.#room > 0) {
      this.#room -= 1;
      this.#events.push(event);
    } else this.#shed.add({ what: 'event' });
    if (event.kind !== 'slot') return;
    if (this.#records.size < PENDING_MAX || this.#records.has(event.id)) this.#records.set(event.id, event.record);
    else this.#shed.add({ what: 'record' });
  };

  close(): void {
    this.#flushing.cancel();
  }

  #flushLater(): Timer {
    return this.#clock.setTimer(FLUSH_MS, () => {
      this.#flushing = this.#flushLater();
      const nowMs = this.#clock.monotonicMs();
      if (nowMs - this.#secondSinceMs >= 1_000) {
        this.#secondSinceMs = nowMs;
        this.#room = EVENTS_PER_SECOND;
      }
      const events = this.#events.splice(0);
      if (!this.#bus.isConnected) return;
      for (const { shard, kind, id, state, record } of events) {
        const shown = record === undefined ? null : shownRecord(kind, record.value);
        this.#bus.publish(subjects.event(kind, id, state), encode({ shard, kind, id, state, record: shown }));
      }
      void this.#put(nowMs);
    });
  }

  async #put(nowMs: number): Promise<void> {
    if (this.#isPutting) return;
    for (const [id, atMs] of this.#putAtMs) {
      if (nowMs - atMs < PUT_MS) break;
      this.#putAtMs.delete(id);
    }
    const puts: Promise<void>[] = [];
    for (const [id, record] of this.#records) {
      if (puts.length === PUTS_PER_FLUSH) break;
      if (this.#putAtMs.has(id)) continue;
      this.#records.delete(id);
      this.#putAtMs.set(id, nowMs);
      puts.push(record === undefined ? this.#values.delete(id) : this.#values.put(id, encode(shownRecord(record.kind, record.value))));
    }
    if (puts.length === 0) return;
    this.#isPutting = true;
    const settled = await Promise.allSettled(puts);
    const failed = settled.filter(({ status }) => status === 'rejected').length;
    if (failed > 0) this.#shed.add({ what: 'record' }, failed);
    this.#isPutting = false;
  }
}
