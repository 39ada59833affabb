// The owner of the skeleton: what a replica sends and appends for a reservation, without deciding anything.
//
// For a reservation: a change, then a request to the worker, then the answer; the note that it is active waits for nobody.
// For a release: a change and the answer; the worker is told, and with `shared` a second change follows its yes.
// Invariants:
//   S1. One append is under way at most; what comes meanwhile joins the next one.
//   S2. Each append is conditional on the one before. One that fails ends the run loudly: there is nobody to race with.
import type { MessageBus } from '@muster/ports';
import { decode, encode } from '@muster/protocol';
import { type SkeletonStart, skeletonSubjects } from './skeleton-stream.ts';

const TIMEOUT_MS = 10_000;
const CHANGES_PER_RECORD = 500;
/** As long as what a pool's shard writes around a record, for a slot, and for a request id that has ended. */
const HEAD = 'x'.repeat(90);
const SLOT_CHANGE = 'x'.repeat(490);
const ENDED_CHANGE = 'x'.repeat(70);
const TOKEN = 'x'.repeat(43);

interface Envelope {
  readonly body:
    | { readonly type: 'reserve'; readonly org: string }
    | { readonly type: 'release'; readonly reservations: readonly { readonly id: string; readonly epoch: number }[] };
}

export function startSkeletonOwner(bus: MessageBus, { run, recycle }: SkeletonStart): void {
  const subjects = skeletonSubjects(run);
  const journal = new SkeletonJournal(bus, subjects.journal);
  let count = 0;
  bus.subscribe(subjects.command, (message) => {
    const { body } = decode(message.data) as Envelope;
    if (body.type === 'reserve') {
      const epoch = ++count;
      const slot = `noop-${body.org}`;
      const id = `${slot}_${epoch}`;
      journal.append(SLOT_CHANGE, () => {
        const activate = { type: 'activate', slot, instance: slot, epoch, reservation: id, org: body.org, pool: 'noop', token: TOKEN };
        void bus.request(subjects.worker(slot), encode({ ...activate, activation: {} }), { timeoutMs: TIMEOUT_MS }).then((reply) => {
          decode(reply.data);
          journal.append(SLOT_CHANGE);
          const endpoint = `simulated://bench/${slot}`;
          const subject = `muster.v1.reservation.${id}`;
          const reservation = { id, slot, org: body.org, epoch, endpoint, token: TOKEN, subject, ttlMs: 60_000 };
          message.respond(encode({ epoch: 1, answer: { ok: true, reservation, source: 'parked', waitedMs: 0 } }));
        });
      });
      return;
    }
    const { id, epoch } = body.reservations[0] ?? { id: '', epoch: 0 };
    const slot = id.slice(0, id.indexOf('_'));
    journal.append(`${SLOT_CHANGE},${ENDED_CHANGE}`, () => {
      message.respond(encode({ epoch: 1, answer: { ok: true, results: [{ id, ok: true }] } }));
      const type = recycle === 'shared' ? 'reset' : 'release';
      const command = { type, slot, instance: slot, epoch, reservation: id };
      void bus.request(subjects.worker(slot), encode(command), { timeoutMs: TIMEOUT_MS }).then((reply) => {
        decode(reply.data);
        if (recycle === 'shared') journal.append(SLOT_CHANGE);
      });
    });
  });
}

interface Change {
  readonly text: string;
  readonly done: (() => void) | undefined;
}

class SkeletonJournal {
  readonly #bus: MessageBus;
  readonly #subject: string;
  #queue: Change[] = [];
  #lastSeq = 0;
  #isUnderWay = false;
  #isPumpDue = false;

  constructor(bus: MessageBus, subject: string) {
    this.#bus = bus;
    this.#subject = subject;
  }

  append(text: string, done?: () => void): void {
    this.#queue.push({ text, done });
    if (this.#isPumpDue || this.#isUnderWay) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#isUnderWay || this.#queue.length === 0) return;
    const changes = this.#queue.splice(0, CHANGES_PER_RECORD);
    this.#isUnderWay = true;
    void this.#send(changes);
  }

  async #send(changes: readonly Change[]): Promise<void> {
    const record = Buffer.from(`{"v":1,"head":"${HEAD}","set":["${changes.map(({ text }) => text).join('","')}"]}`);
    const headers = { 'Nats-Expected-Last-Subject-Sequence': String(this.#lastSeq) };
    const reply = await this.#bus.request(this.#subject, record, { headers, timeoutMs: TIMEOUT_MS });
    const { seq, error } = decode(reply.data) as { readonly seq?: number; readonly error?: { readonly description: string } };
    if (seq === undefined) throw new Error(`the skeleton's append failed: ${error?.description ?? 'no position'}`);
    this.#lastSeq = seq;
    this.#isUnderWay = false;
    // The next one is on its way while this one's answers are written.
    this.#pump();
    for (const { done } of changes) done?.();
  }
}
