// Live actors of an owned shard: XState root actors, made from their records when they are first needed.
//
//   A1. An actor is what its record says: where the two differ (a turn that failed, a record set by hand) it is made anew.
//   A2. An actor that throws is made anew from its record and given the event again, once; then the error is the answer.
//   A3. Nothing that an actor does reaches the outside here: what it emits is handed back as data.
import { type AnyActor, type AnyMachineSnapshot, createActor, type StateValue } from 'xstate';
import type { ActorKind, ActorRecord, Effect } from '../contract.ts';

/** What an event did to an actor. */
export type ActorStep =
  | { readonly kind: 'unmoved' }
  | {
      readonly kind: 'moved';
      readonly record: ActorRecord;
      readonly emitted: readonly Effect[];
      readonly isChanged: boolean;
      readonly isStateChanged: boolean;
    }
  | { readonly kind: 'threw'; readonly error: unknown };

interface LiveActor {
  readonly actor: AnyActor;
  record: ActorRecord;
  emitted: Effect[];
  failure: { readonly error: unknown } | undefined;
}

type AnyActorKind = Pick<ActorKind, 'kind' | 'machine'>;

/** More live actors than this, and the oldest are made anew when they are needed again. */
const LIVE_MAX = 20_000;

export class Actors {
  readonly #live = new Map<string, LiveActor>();

  /** Starts an actor that has no record yet. */
  create(kind: AnyActorKind, id: string, input: unknown): ActorStep {
    let error: unknown;
    for (let tries = 0; tries < 2; tries++) {
      const live = this.#start(kind, { input });
      if (live.failure === undefined) {
        const snapshot = live.actor.getSnapshot() as AnyMachineSnapshot;
        live.record = recordOf(snapshot);
        this.#keep(kind, id, live);
        return { kind: 'moved', record: live.record, emitted: live.emitted, isChanged: true, isStateChanged: true };
      }
      error = live.failure.error;
    }
    return { kind: 'threw', error };
  }

  send(kind: AnyActorKind, id: string, record: ActorRecord, event: { readonly type: string }): ActorStep {
    let error: unknown;
    for (let tries = 0; tries < 2; tries++) {
      const live = this.#of(kind, id, record);
      const before = live.actor.getSnapshot() as AnyMachineSnapshot;
      if (live.failure === undefined) {
        if (before.status !== 'active') return { kind: 'unmoved' };
        live.emitted = [];
        live.actor.send(event);
      }
      const failure = live.failure;
      if (failure === undefined) return this.#step(live, record, before, event);
      error = failure.error;
      this.#live.delete(key(kind.kind, id));
    }
    return { kind: 'threw', error };
  }

  clear(): void {
    this.#live.clear();
  }

  #step(live: LiveActor, record: ActorRecord, before: AnyMachineSnapshot, event: { readonly type: string }): ActorStep {
    const snapshot = live.actor.getSnapshot() as AnyMachineSnapshot;
    // XState gives the same snapshot where no transition was taken, and where one was that changed nothing.
    if (snapshot === before && live.emitted.length === 0 && !before.can(event)) return { kind: 'unmoved' };
    const isStateChanged = !isSameState(snapshot.value as StateValue, record.state);
    const isChanged = isStateChanged || snapshot.context !== record.context;
    if (isChanged) live.record = recordOf(snapshot);
    return { kind: 'moved', record: live.record, emitted: live.emitted, isChanged, isStateChanged };
  }

  #of(kind: AnyActorKind, id: string, record: ActorRecord): LiveActor {
    const found = this.#live.get(key(kind.kind, id));
    if (found !== undefined && found.record === record) return found;
    const { machine } = kind;
    const snapshot = machine.resolveState({ value: record.state, context: record.context });
    const live = this.#start(kind, { snapshot });
    live.record = record;
    this.#keep(kind, id, live);
    return live;
  }

  #start(kind: AnyActorKind, options: { readonly input: unknown } | { readonly snapshot: unknown }): LiveActor {
    const actor: AnyActor = createActor(kind.machine, { ...options, logger: () => undefined } as never);
    const live: LiveActor = { actor, record: { state: '', context: {} }, emitted: [], failure: undefined };
    // Unobserved, an error would be thrown in a timer and end the process.
    actor.subscribe({
      error: (error: unknown) => {
        live.failure = { error };
      },
    });
    actor.on('*', (emitted: unknown) => {
      live.emitted.push(emitted as Effect);
    });
    try {
      actor.start();
    } catch (error) {
      live.failure = { error };
    }
    return live;
  }

  #keep(kind: AnyActorKind, id: string, live: LiveActor): void {
    this.#live.set(key(kind.kind, id), live);
    if (this.#live.size <= LIVE_MAX) return;
    let surplus = LIVE_MAX / 10;
    for (const oldest of this.#live.keys()) {
      if (surplus-- <= 0) return;
      this.#live.delete(oldest);
    }
  }
}

function key(kind: string, id: string): string {
  return `${kind}/${id}`;
}

function recordOf(snapshot: AnyMachineSnapshot): ActorRecord {
  return { state: snapshot.value as StateValue, context: snapshot.context as ActorRecord['context'] };
}

/** State values as XState writes them: strings, or objects of them. */
export function isSameState(one: StateValue, other: StateValue): boolean {
  if (one === other) return true;
  if (typeof one === 'string' || typeof other === 'string') return false;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((at) => {
      const [inner, outer] = [one[at], other[at]];
      return inner !== undefined && outer !== undefined && isSameState(inner, outer);
    })
  );
}
