// The latest values in a key-value bucket.
//
// A deleted key leaves a marker, so that who watches sees it go. Markers would pile up for ever (slots are never named
// twice), so each is purged when MARKER_MS have passed; those of a process that dies first stay.
import type { LatestValues, Timer } from '@muster/ports';
import { headers as makeHeaders } from '@nats-io/transport-node';
import { askJetStream, readAnswer, toUnavailable } from './jetstream-api.ts';
import type { NatsLink } from './nats-link.ts';

const PUT_TIMEOUT_MS = 5000;
const MARKER_MS = 60_000;
/** Markers that wait for their purge; beyond it the oldest are left to lie. */
const MARKERS_MAX = 10_000;
/** Purged one after the other, so many a time, to leave the stream to others. */
const PURGES_PER_SWEEP = 100;
const NOTHING = new Uint8Array(0);

/** A key-value bucket that `nats kv get|watch` reads. */
export class NatsLatestValues implements LatestValues {
  readonly #link: NatsLink;
  readonly #bucket: string;
  readonly #markers = new Map<string, { readonly seq: number; readonly atMs: number }>();
  #sweep: Timer | undefined;
  #isEnded = false;

  constructor(link: NatsLink, bucket: string) {
    this.#link = link;
    this.#bucket = bucket;
  }

  async put(key: string, data: Uint8Array): Promise<void> {
    await this.#publish(key, data);
  }

  async delete(key: string): Promise<void> {
    const seq = await this.#publish(key, NOTHING, 'PURGE');
    this.#markers.delete(key);
    if (this.#markers.size >= MARKERS_MAX) this.#markers.delete(this.#markers.keys().next().value as string);
    this.#markers.set(key, { seq, atMs: this.#link.clock.monotonicMs() });
    this.#sweepLater();
  }

  /** Purges nothing more. */
  close(): void {
    this.#isEnded = true;
    this.#sweep?.cancel();
  }

  async #publish(key: string, data: Uint8Array, operation?: 'PURGE'): Promise<number> {
    const subject = `$KV.${this.#bucket}.${key}`;
    const headers = operation === undefined ? undefined : makeHeaders();
    if (operation !== undefined) {
      headers?.set('KV-Operation', operation);
      headers?.set('Nats-Rollup', 'sub');
    }
    try {
      return readAnswer<{ readonly seq: number }>(subject, await this.#link.exchange(subject, data, PUT_TIMEOUT_MS, headers)).seq;
    } catch (error) {
      throw toUnavailable(error);
    }
  }

  #sweepLater(): void {
    if (this.#isEnded || this.#sweep !== undefined || this.#markers.size === 0) return;
    this.#sweep = this.#link.clock.setTimer(MARKER_MS, () => {
      void this.#purgeMarkers().finally(() => {
        this.#sweep = undefined;
        this.#sweepLater();
      });
    });
  }

  async #purgeMarkers(): Promise<void> {
    const dueMs = this.#link.clock.monotonicMs() - MARKER_MS;
    const due = Array.from(this.#markers).filter(([, { atMs }]) => atMs <= dueMs);
    for (const [key, { seq }] of due.slice(0, PURGES_PER_SWEEP)) {
      try {
        // Only the marker: a value that was put since has a higher sequence.
        await askJetStream(this.#link, `STREAM.PURGE.KV_${this.#bucket}`, { filter: `$KV.${this.#bucket}.${key}`, seq: seq + 1 });
        this.#markers.delete(key);
      } catch (error) {
        this.#link.logger.debug({ bucket: this.#bucket, error }, 'cannot purge the markers of deleted values');
        return;
      }
    }
  }
}
