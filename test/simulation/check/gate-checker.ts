// What may leave a replica, and when (G2, G3): nothing before it is durable, no statement without an append that was sent
// after the question came.
import { decode, JANITOR_SHARD, type RefResult, type ReserveAnswer, type WorkerCommand } from '@muster/protocol';
import type { JournalChecker } from './journal-checker.ts';
import type { Verdict } from './verdict.ts';

/** What the workers say. */
export interface WorkersTruth {
  hasActivated(slot: string, reservation: string): boolean;
  nowMs(): number;
}

interface ShardQuestion {
  readonly body: { readonly type: string; readonly org?: string; readonly requestId?: string; readonly reservations?: readonly Ref[] };
}
interface Ref {
  readonly id: string;
}

/** Answers that say nothing about a shard. */
const STATELESS: ReadonlySet<string> = new Set(['overloaded', 'shutting-down', 'pool-unknown']);

export class GateChecker {
  readonly #journal: JournalChecker;
  readonly #verdict: Verdict;
  readonly #truth: WorkersTruth;
  readonly #arrivalMs = new Map<number, number>();

  constructor(journal: JournalChecker, verdict: Verdict, truth: WorkersTruth) {
    this.#journal = journal;
    this.#verdict = verdict;
    this.#truth = truth;
  }

  received(subject: string): number {
    const arrival = ++this.#journal.event;
    if (subject.startsWith('muster.v1.re') || subject.startsWith('muster.v1.shard.')) this.#arrivalMs.set(arrival, this.#truth.nowMs());
    return arrival;
  }

  said(replica: string, subject: string, data: Uint8Array): void {
    const tokens = subject.split('.');
    if (tokens[2] === 'worker' && tokens[6] === 'cmd') this.#command(replica, decode(data) as WorkerCommand);
    if (tokens[2] === 'reservation' && tokens[4] === 'lost') this.#toldLost(replica, tokens[3] ?? '');
  }

  answered(replica: string, subject: string, question: Uint8Array, arrival: number, answer: Uint8Array): void {
    if (this.#journal.isLossy) return;
    const [, , kind, name = '', last] = subject.split('.');
    if (kind === 'shard' && last === 'cmd') {
      const said = decode(answer) as { readonly epoch: number; readonly answer?: unknown; readonly error?: unknown };
      if (said.error !== undefined || said.answer === undefined) return;
      if (name === JANITOR_SHARD) return this.#isBacked(replica, name, arrival, said.epoch, 'an answer of the janitor');
      this.#shardAnswer(replica, name, decode(question) as ShardQuestion, arrival, said.epoch, said.answer);
    } else if (kind === 'reserve') {
      const asked = decode(question) as { readonly org: string; readonly requestId?: string };
      this.#reserve(replica, undefined, asked.org, asked.requestId, arrival, undefined, decode(answer) as ReserveAnswer);
    } else if (kind === 'renew' || kind === 'release') {
      const said = decode(answer) as { readonly ok: boolean; readonly results?: readonly RefResult[] };
      this.#refs(replica, kind, arrival, undefined, said.results ?? []);
    } else if (kind === 'worker' && subject.endsWith('.hello')) {
      this.#hello(replica, subject.split('.')[4] ?? '', question, answer);
    }
  }

  #shardAnswer(replica: string, shard: string, { body }: ShardQuestion, arrival: number, epoch: number, answer: unknown): void {
    if (body.type === 'reserve')
      return this.#reserve(replica, shard, body.org ?? '', body.requestId, arrival, epoch, answer as ReserveAnswer);
    const { ok, results } = answer as { readonly ok: boolean; readonly results?: readonly RefResult[] };
    if (!ok) return;
    this.#isBacked(replica, shard, arrival, epoch, `an answer to ${body.type}`);
    if (body.type === 'renew' || body.type === 'release') this.#refs(replica, body.type, arrival, epoch, results ?? []);
    if (body.type !== 'cancel') return;
    const pool = shard.split('--')[0] ?? shard;
    this.#journal.endedRequests.set(`${pool} ${body.org} ${body.requestId}`, 'cancelled');
    for (const slot of this.#journal.fold(shard).slots.values()) {
      if (slot.org === body.org && slot.reservation?.requestId === body.requestId) {
        this.#verdict.broken('G2', `${replica} says that ${body.requestId} is cancelled, and it has ${slot.reservation?.id}`);
      }
    }
  }

  #reserve(
    replica: string,
    shard: string | undefined,
    org: string,
    requestId: string | undefined,
    arrival: number,
    epoch: number | undefined,
    answer: ReserveAnswer,
  ): void {
    if (!answer.ok) {
      const reason = 'miss' in answer ? answer.miss.reason : answer.error.code;
      if (shard !== undefined && !STATELESS.has(reason) && reason !== 'bad-request') {
        this.#isBacked(replica, shard, arrival, epoch, `the refusal ${reason}`);
      }
      return;
    }
    const { id, slot } = answer.reservation;
    const issue = this.#journal.issues.get(id);
    if (issue === undefined) return this.#verdict.broken('G2', `${replica} grants ${id} to ${org}, which is not durable`);
    if (issue.org !== org || (requestId !== undefined && issue.requestId !== requestId)) {
      this.#verdict.broken('G1', `${replica} grants ${id} to ${org} (${requestId}), it is ${issue.org}'s (${issue.requestId})`);
    }
    if (!this.#truth.hasActivated(slot, id)) this.#verdict.broken('G2', `${replica} grants ${id}, and its worker has not said yes`);
    if (issue.ended !== undefined && issue.ended.event < arrival) {
      this.#verdict.broken('G3', `${replica} grants ${id}, which had ended (${issue.ended.reason}) before it was asked`);
    }
    this.#isBacked(replica, issue.shard, arrival, epoch, `the grant ${id}`);
    if (issue.ended === undefined) issue.renewedAtMs = Math.max(issue.renewedAtMs, this.#arrivalMs.get(arrival) ?? 0);
  }

  #refs(replica: string, type: string, arrival: number, epoch: number | undefined, results: readonly RefResult[]): void {
    for (const result of results) {
      const issue = this.#journal.issues.get(result.id);
      if (issue === undefined) continue;
      this.#isBacked(replica, issue.shard, arrival, epoch, `the ${type} of ${result.id}`);
      const { ended } = issue;
      if (!result.ok) {
        const isOver = result.error.code === 'ended' || result.error.code === 'stale-epoch';
        if (isOver && ended === undefined)
          this.#verdict.broken('G2', `${replica} says that ${result.id} has ended: ${result.error.message}`);
      } else if (type === 'release') {
        if (ended === undefined) this.#verdict.broken('G2', `${replica} says that ${result.id} is released, which is not durable`);
      } else {
        if (ended !== undefined && ended.event < arrival) {
          this.#verdict.broken('G3', `${replica} renews ${result.id}, which had ended (${ended.reason}) before it was asked`);
        }
        issue.renewedAtMs = Math.max(issue.renewedAtMs, this.#arrivalMs.get(arrival) ?? 0);
      }
    }
  }

  #isBacked(replica: string, shard: string, arrival: number, epoch: number | undefined, what: string): void {
    if (this.#journal.sentAt(shard, epoch) > arrival) return;
    this.#verdict.broken('G3', `${replica}: ${what} of ${shard} leaves without an append that was sent after it was asked`);
  }

  #command(replica: string, command: WorkerCommand): void {
    if (this.#journal.isLossy) return;
    const { type, slot, reservation } = command;
    const folded = this.#journal.slot(slot);
    const issue = this.#journal.issues.get(reservation);
    if (type === 'activate') {
      if (issue === undefined || issue.org !== command.org)
        this.#verdict.broken('G2', `${replica} activates ${reservation} for ${command.org}, which is not durable`);
    } else if (type === 'reset' || type === 'release') {
      if (issue === undefined || issue.ended === undefined)
        this.#verdict.broken('G2', `${replica} tells ${slot} to ${type} ${reservation}, whose end is not durable`);
    } else if (type === 'drain' && folded?.state !== 'draining' && folded !== undefined) {
      this.#verdict.broken('G2', `${replica} tells ${slot} to drain, which is ${folded.state}`);
    }
  }

  #toldLost(replica: string, reservation: string): void {
    const issue = this.#journal.issues.get(reservation);
    if (issue !== undefined && issue.ended === undefined && !this.#journal.isLossy) {
      this.#verdict.broken('G2', `${replica} says that ${reservation} is lost, which is not durable`);
    }
  }

  #hello(replica: string, slot: string, question: Uint8Array, answer: Uint8Array): void {
    const { instance } = decode(question) as { readonly instance: string };
    const { type, reason } = decode(answer) as { readonly type: string; readonly reason?: string };
    const folded = this.#journal.slot(slot);
    const isIts = folded !== undefined && folded.instance === instance && folded.state !== 'draining';
    if (type === 'stop' && isIts) this.#verdict.broken('G7', `${replica} tells ${slot} to stop (${reason}), which is ${folded.state}`);
    if (type === 'welcome' && folded?.instance !== instance && folded !== undefined) {
      this.#verdict.broken('G2', `${replica} welcomes ${instance} at ${slot}, which is not durable`);
    }
  }
}
