// Puts the org's label on pods that were reserved (DESIGN 9), behind everything else that wants the API server.
//
// Invariants:
//   O1. One patch at a time; of several orgs for one slot the last counts. At most one entry a slot.
//   O2. A label is put on the very pod that was meant (its uid is in the patch), and never taken off.
import type { Clock, Logger } from '@muster/ports';
import type { ApiClient } from './api/api-client.ts';
import { isFault } from './api/api-fault.ts';
import { LABELS, orgLabel } from './labels.ts';

interface Note {
  readonly org: string;
  readonly podUid: string | undefined;
  attempts: number;
}

const ATTEMPTS_MAX = 5;
const RETRY_MS = 1_000;

export class OrgLabels {
  readonly #api: () => Promise<{ readonly api: ApiClient; readonly podsPath: string }>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #notes = new Map<string, Note>();
  #isRunning = false;
  #isClosed = false;

  constructor(options: {
    readonly clock: Clock;
    readonly logger: Logger;
    connect(): Promise<{ readonly api: ApiClient; readonly podsPath: string }>;
  }) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#api = () => options.connect();
  }

  note(slot: string, podUid: string | undefined, org: string): void {
    if (this.#isClosed || this.#notes.get(slot)?.org === org) return;
    this.#notes.set(slot, { org, podUid, attempts: 0 });
    if (!this.#isRunning) void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#notes.clear();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let [first] = this.#notes; first !== undefined; [first] = this.#notes) {
      const [slot, note] = first;
      const isDone = await this.#patch(slot, note);
      if (this.#notes.get(slot) !== note) continue;
      this.#notes.delete(slot);
      note.attempts += 1;
      if (isDone || this.#isClosed) continue;
      if (note.attempts < ATTEMPTS_MAX) this.#notes.set(slot, note);
      await new Promise<void>((resolve) => void this.#clock.setTimer(RETRY_MS, resolve));
    }
    this.#isRunning = false;
  }

  async #patch(slot: string, { org, podUid }: Note): Promise<boolean> {
    try {
      const { api, podsPath } = await this.#api();
      await api.call({
        method: 'PATCH',
        path: `${podsPath}/${slot}`,
        contentType: 'application/merge-patch+json',
        body: { metadata: { labels: { [LABELS.org]: orgLabel(org) }, ...(podUid === undefined ? {} : { uid: podUid }) } },
        isUrgent: false,
      });
      return true;
    } catch (error) {
      // It is gone, or another one: there is nothing to put a label on.
      if (isFault(error, 'absent', 'conflict', 'invalid')) return true;
      this.#logger.warn({ slot, error: String(error) }, 'the label of an org could not be put on a pod');
      return false;
    }
  }
}
