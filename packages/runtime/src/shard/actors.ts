// Actors of an owned shard: what their XState machines make of an event, as pure steps from record to record.
//
//   A1. An actor is what its record says: nothing of it lives beside the record but the machine's own form of it.
//   A2. An actor that throws is given the event again, once, from its record; then the error is the answer.
//   A3. Nothing that an actor does reaches the outside here: what it emits is handed back as data.
import { type AnyActorScope, type AnyMachineSnapshot, type AnyStateMachine, createActor, type StateValue } from 'xstate';
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

type Machine = Pick<ActorKind, 'machine'>;

/** A record with the machine's own form of it, so that the next event need not make that anew. Stored, it is like any other. */
class SteppedRecord implements ActorRecord {
  readonly state: StateValue;
  readonly context: ActorRecord['context'];
  readonly #snapshot: AnyMachineSnapshot;

  constructor(snapshot: AnyMachineSnapshot) {
    this.state = snapshot.value as StateValue;
    this.context = snapshot.context as ActorRecord['context'];
    this.#snapshot = snapshot;
  }

  static snapshotOf(record: ActorRecord): AnyMachineSnapshot | undefined {
    return record instanceof SteppedRecord ? record.#snapshot : undefined;
  }
}

const UNMOVED: ActorStep = { kind: 'unmoved' };
const TRIES = 2;

export class Actors {
  readonly #scopes = new Map<AnyStateMachine, AnyActorScope>();
  #emitted: Effect[] = [];

  /** Starts an actor that has no record yet. */
  create({ machine }: Machine, input: unknown): ActorStep {
    return this.#twice(() => {
      const snapshot = whole(machine.getInitialSnapshot(this.#scope(machine), input));
      return { kind: 'moved', record: new SteppedRecord(snapshot), emitted: this.#emitted, isChanged: true, isStateChanged: true };
    });
  }

  send({ machine }: Machine, record: ActorRecord, event: { readonly type: string }): ActorStep {
    return this.#twice(() => {
      const before: AnyMachineSnapshot =
        SteppedRecord.snapshotOf(record) ?? machine.resolveState({ value: record.state, context: record.context });
      if (before.status !== 'active') return UNMOVED;
      const snapshot = whole(machine.transition(before, event, this.#scope(machine)));
      const emitted = this.#emitted;
      // XState gives the same snapshot where no transition was taken, and where one was that changed nothing.
      if (snapshot === before && emitted.length === 0 && !before.can(event)) return UNMOVED;
      const isStateChanged = !isSameState(snapshot.value as StateValue, record.state);
      const isChanged = isStateChanged || snapshot.context !== record.context;
      return { kind: 'moved', record: isChanged ? new SteppedRecord(snapshot) : record, emitted, isChanged, isStateChanged };
    });
  }

  #twice(step: () => ActorStep): ActorStep {
    let error: unknown;
    for (let tries = 0; tries < TRIES; tries++) {
      this.#emitted = [];
      try {
        return step();
      } catch (thrown) {
        error = thrown;
      }
    }
    return { kind: 'threw', error };
  }

  /** What a machine has around it while it makes a step. One serves all actors of a kind: a step ends before the next begins. */
  #scope(machine: AnyStateMachine): AnyActorScope {
    const known = this.#scopes.get(machine);
    if (known !== undefined) return known;
    const nobody = createActor(machine, { logger: () => undefined } as never);
    const scope: AnyActorScope = {
      self: nobody,
      system: nobody.system,
      id: nobody.id,
      sessionId: nobody.sessionId,
      logger: () => undefined,
      stopChild: () => undefined,
      defer: (run) => run(),
      emit: (emitted) => void this.#emitted.push(emitted as Effect),
      actionExecutor: (action) => action.exec?.(action.info, action.params),
    };
    this.#scopes.set(machine, scope);
    return scope;
  }
}

/** @throws what the machine threw */
function whole(snapshot: AnyMachineSnapshot): AnyMachineSnapshot {
  if (snapshot.status === 'error') throw snapshot.error;
  return snapshot;
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
