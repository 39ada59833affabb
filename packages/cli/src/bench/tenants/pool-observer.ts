// Looks at one pool from outside, through any replica: slots and their ages, intents, counts by state.
//
// Owns: what was seen. A look that fails (NATS or a replica is away for a while) is left out; nothing waits for it.
import type { Clock, MessageBus } from '@muster/ports';
import type { IntentSummary, PoolSummary, SlotSummary } from '@muster/protocol';
import { askAdmin } from '../../cluster/ask-admin.ts';
import { pause } from '../measure/pause.ts';
import type { SlotSighting } from './scale-up.ts';

const LOOK_MS = 200;
const ASK_MS = 5_000;
const PAGES_MAX = 100;
const INTENTS_MAX = 200;
const RETRY_MS = 250;

export class PoolObserver {
  readonly #bus: MessageBus;
  readonly #clock: Clock;
  readonly #pool: string;
  readonly #seen = new Map<string, { intent: number; spawningMs: number | undefined; readyMs: number | undefined }>();

  constructor(bus: MessageBus, clock: Clock, pool: string) {
    this.#bus = bus;
    this.#clock = clock;
    this.#pool = pool;
  }

  get sightings(): readonly SlotSighting[] {
    return [...this.#seen.values()];
  }

  /** Looks at the slots five times a second until the signal. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.tryLook();
      await pause(this.#clock, LOOK_MS, signal);
    }
  }

  /** The slots of the pool, now; undefined where nobody answers. */
  async tryLook(): Promise<readonly SlotSummary[] | undefined> {
    const slots: SlotSummary[] = [];
    try {
      for (let page = 0; page < PAGES_MAX; page++) {
        const sentMs = this.#clock.monotonicMs();
        const answer = await askAdmin(this.#bus, { type: 'slots', pool: this.#pool, page }, ASK_MS);
        const atMs = (sentMs + this.#clock.monotonicMs()) / 2;
        for (const slot of answer.slots) this.#note(slot, atMs - slot.ageMs);
        slots.push(...answer.slots);
        if (!answer.hasMore) return slots;
      }
      return slots;
    } catch {
      return undefined;
    }
  }

  /** The pool as any replica shows it; undefined where nobody answers, or there is no such pool. */
  async tryPool(timeoutMs = ASK_MS): Promise<PoolSummary | undefined> {
    try {
      const { pools } = await askAdmin(this.#bus, { type: 'pools' }, timeoutMs);
      return pools.find(({ pool }) => pool === this.#pool);
    } catch {
      return undefined;
    }
  }

  /**
   * The pool's newest intents, tried until the shards have said what they made of each, or the time is over.
   * @returns what there is then; undefined where nobody answered
   */
  async tryIntents(withinMs: number, signal?: AbortSignal): Promise<readonly IntentSummary[] | undefined> {
    const untilMs = this.#clock.monotonicMs() + withinMs;
    let last: readonly IntentSummary[] | undefined;
    for (;;) {
      try {
        const { intents } = await askAdmin(this.#bus, { type: 'intents', pool: this.#pool, limit: INTENTS_MAX }, ASK_MS);
        last = intents;
        if (intents.every(({ slots, applied }) => Object.keys(slots).every((shard) => applied[shard] !== undefined))) return intents;
      } catch {
        // Asked again.
      }
      if (this.#clock.monotonicMs() >= untilMs || signal?.aborted === true) return last;
      await pause(this.#clock, RETRY_MS, signal);
    }
  }

  #note({ slot, state, intent }: SlotSummary, sinceMs: number): void {
    const seen = this.#seen.get(slot) ?? { intent, spawningMs: undefined, readyMs: undefined };
    this.#seen.set(slot, seen);
    if (state === 'spawning') seen.spawningMs ??= sinceMs;
    else if (state !== 'draining' && state !== 'reaped') seen.readyMs ??= sinceMs;
  }
}
