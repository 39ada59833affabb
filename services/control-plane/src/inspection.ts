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
/** Events published a flush; what comes beyond it is dropped and counted. */
const EVENTS_PER_FLUSH = 50;
/** A slot's record is put at most once in this time. */
const PUT_MS = 1_000;
const PUTS_PER_SECOND = 200;
const PENDING_MAX = 20_000;

export class Inspection {
  readonly #bus: MessageBus;
  readonly #values: LatestValues;
  readonly #shed;
  readonly #events: Inspected[] = [];
  /** The newest record by key; undefined: gone. */
  readonly #records = new Map<string, Inspected['record']>();
  #flushing: Timer;
  #putting: Timer;
  #isPutting = false;

  constructor(options: { readonly bus: MessageBus; readonly values: LatestValues; readonly clock: Clock; readonly metrics: Metrics }) {
    this.#bus = options.bus;
    this.#values = options.values;
    this.#shed = options.metrics.counter({
      name: 'muster_inspection_shed_total',
      help: 'Events and slot records that were not shown',
      labels: ['what'],
    });
    const flush = (): void => {
      this.#flush();
      this.#flushing = options.clock.setTimer(FLUSH_MS, flush);
    };
    const put = (): void => {
      void this.#put();
      this.#putting = options.clock.setTimer(PUT_MS, put);
    };
    this.#flushing = options.clock.setTimer(FLUSH_MS, flush);
    this.#putting = options.clock.setTimer(PUT_MS, put);
  }

  /** Takes one committed transition; never throws, never waits. */
  readonly inspect = (event: Inspected): void => {
    if (this.#events.length < EVENTS_PER_FLUSH) this.#events.push(event);
    else this.#shed.add({ what: 'event' });
    if (event.kind !== 'slot') return;
    if (this.#records.size < PENDING_MAX || this.#records.has(event.id)) this.#records.set(event.id, event.record);
    else this.#shed.add({ what: 'record' });
  };

  close(): void {
    this.#flushing.cancel();
    this.#putting.cancel();
  }

  #flush(): void {
    if (!this.#bus.isConnected) {
      this.#events.length = 0;
      return;
    }
    for (const { shard, kind, id, state, record } of this.#events.splice(0)) {
      this.#bus.publish(
        subjects.event(kind, id, state),
        encode({ shard, kind, id, state, record: record === undefined ? null : shownRecord(kind, record.value) }),
      );
    }
  }

  async #put(): Promise<void> {
    if (this.#isPutting || !this.#bus.isConnected) return;
    this.#isPutting = true;
    const entries = [...this.#records].slice(0, PUTS_PER_SECOND);
    for (const [id] of entries) this.#records.delete(id);
    const puts = entries.map(([id, record]) =>
      record === undefined ? this.#values.delete(id) : this.#values.put(id, encode(shownRecord(record.kind, record.value))),
    );
    const settled = await Promise.allSettled(puts);
    const failed = settled.filter(({ status }) => status === 'rejected').length;
    if (failed > 0) this.#shed.add({ what: 'record' }, failed);
    this.#isPutting = false;
  }
}
