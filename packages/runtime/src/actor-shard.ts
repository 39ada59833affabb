// A shard of actors, ready made: commands are events for actors, their answers what the actors say.
//
//   X1. A request id is executed once: its answer is a record of the shard, written together with what it did, so that a
//       new owner knows it. The newest `answersMax` are remembered.
//   X2. An actor that was quarantined refuses everything until its record is deleted or it is released.
import type { StateValue } from 'xstate';
import type {
  ActorKind,
  ActorRecord,
  Command,
  Effect,
  Json,
  OwnedShard,
  RecordKind,
  ShardDefinition,
  ShardSession,
  Turn,
} from './contract.ts';

/** A kind of actor of an `actorShard`. */
export interface ShardActorKind<C = Json> extends ActorKind<C> {
  /** The machine's input for an actor that gets its first event; absent: an actor that is not there accepts nothing. */
  readonly startOnFirstEvent?: (id: string) => unknown;
}

/** What `actorShard` answers, to commands `{to: 'kind/id', event: {type, …}}`. */
export type ActorAnswer =
  /** `isAccepted` false: the machine has no transition for the event in this state. `reply` is what it emitted as `reply`. */
  | { readonly ok: true; readonly isAccepted: boolean; readonly state: StateValue; readonly reply?: unknown }
  | { readonly ok: false; readonly error: { readonly code: 'bad-request' | 'not-found' | 'internal'; readonly message: string } };

export interface ActorShardOptions {
  readonly shard: string;
  readonly kinds: readonly ShardActorKind[];
  /** Request ids remembered with their answers. Default 10,000. */
  readonly answersMax?: number;
  /** Default 10,000. */
  readonly mailboxMax?: number;
  /** An event that a machine emitted (all but `reply` and timers), after it is durable; runs at least once. */
  readonly effect?: (shard: OwnedShard, actor: { readonly kind: string; readonly id: string }, effect: Effect) => void;
  /** This replica has become the owner: start again what the actors' states imply. */
  readonly opened?: (shard: OwnedShard, turn: Turn) => void;
}

/**
 * Declares a kind of actor. The default `parse` takes what has a state and a context.
 * @throws Error for a name that cannot be part of an address
 */
export function defineActor<C = Json>(
  kind: Omit<ShardActorKind<C>, 'parse'> & { readonly parse?: (value: unknown) => ActorRecord<C> },
): ShardActorKind<C> {
  if (!/^[a-z][a-z0-9-]*$/.test(kind.kind)) throw new Error(`${kind.kind} is not a name for a kind of actor`);
  return { parse: (value) => parseActorRecord(value) as ActorRecord<C>, ...kind };
}

/** @throws Error where the value is not the stored form of an actor */
export function parseActorRecord(value: unknown): ActorRecord {
  if (typeof value === 'object' && value !== null) {
    const { state, context } = value as Record<string, unknown>;
    const isState = typeof state === 'string' || (typeof state === 'object' && state !== null);
    if (isState && typeof context === 'object' && context !== null) return value as ActorRecord;
  }
  throw new Error('not the record of an actor');
}

/** A shard whose commands are events for its actors. */
export function actorShard(options: ActorShardOptions): ShardDefinition {
  const { shard, kinds, answersMax = 10_000, mailboxMax = 10_000 } = options;
  const answers: RecordKind<{ readonly answer: ActorAnswer }> = { kind: '_answers', retain: answersMax, parse: parseObject };
  const quarantine: RecordKind<{ readonly error: string }> = { kind: '_quarantine', parse: parseObject };
  return {
    shard,
    kinds: [...kinds, answers, quarantine],
    open: (owned, turn) => {
      options.opened?.(owned, turn);
      return new ActorSession({ ...options, mailboxMax }, owned, { answers, quarantine });
    },
  };
}

class ActorSession implements ShardSession {
  readonly mailboxMax: number;
  readonly #options: ActorShardOptions;
  readonly #owned: OwnedShard;
  readonly #kinds: ReadonlyMap<string, ShardActorKind>;
  readonly #answers: RecordKind<{ readonly answer: ActorAnswer }>;
  readonly #quarantine: RecordKind<{ readonly error: string }>;

  constructor(
    options: ActorShardOptions & { readonly mailboxMax: number },
    owned: OwnedShard,
    kinds: { readonly answers: RecordKind<{ readonly answer: ActorAnswer }>; readonly quarantine: RecordKind<{ readonly error: string }> },
  ) {
    this.#options = options;
    this.mailboxMax = options.mailboxMax;
    this.#owned = owned;
    this.#kinds = new Map(options.kinds.map((kind) => [kind.kind, kind]));
    this.#answers = kinds.answers;
    this.#quarantine = kinds.quarantine;
  }

  command(turn: Turn, command: Command): void {
    const known = command.id === undefined ? undefined : turn.get(this.#answers, command.id);
    if (known !== undefined) {
      turn.answer(command, known.answer);
      return;
    }
    const parsed = this.#parse(command.body);
    if (typeof parsed === 'string') {
      turn.answerAtOnce(command, { ok: false, error: { code: 'bad-request', message: parsed } } satisfies ActorAnswer);
      return;
    }
    const { kind, id, event } = parsed;
    const answer = this.#send(turn, kind, id, event);
    if (command.id !== undefined) turn.put(this.#answers, command.id, { answer });
    turn.answer(command, answer);
  }

  effect(actor: { readonly kind: string; readonly id: string }, effect: Effect): void {
    this.#options.effect?.(this.#owned, actor, effect);
  }

  quarantined(turn: Turn, actor: { readonly kind: string; readonly id: string }, error: unknown): void {
    turn.put(this.#quarantine, `${actor.kind}/${actor.id}`, { error: String(error) });
  }

  close(): void {
    // Everything that it has belongs to the shard, which closes it.
  }

  #send(turn: Turn, kind: ShardActorKind, id: string, event: { readonly type: string }): ActorAnswer {
    const address = `${kind.kind}/${id}`;
    const quarantined = turn.get(this.#quarantine, address);
    if (quarantined !== undefined) return refusal('internal', `${address} is quarantined: ${quarantined.error}`);
    if (turn.get(kind, id) === undefined) {
      if (kind.startOnFirstEvent === undefined) return refusal('not-found', `${address} is not there`);
      turn.create(kind, id, kind.startOnFirstEvent(id));
    }
    const { isAccepted, after, reply } = turn.send(kind, id, event);
    if (after === undefined) return refusal('internal', `${address} could not be started`);
    return { ok: true, isAccepted, state: after.state, ...(reply === undefined ? {} : { reply }) };
  }

  /** A string says what is wrong. */
  #parse(body: unknown): { readonly kind: ShardActorKind; readonly id: string; readonly event: { readonly type: string } } | string {
    if (typeof body !== 'object' || body === null) return 'the command is not an object';
    const { to, event } = body as Record<string, unknown>;
    const [, name, id] = /^([a-z][a-z0-9-]*)\/([A-Za-z0-9_-]{1,128})$/.exec(typeof to === 'string' ? to : '') ?? [];
    if (name === undefined || id === undefined) return 'to: must be <kind>/<id>';
    const kind = this.#kinds.get(name);
    if (kind === undefined) return `to: there is no kind ${name}`;
    if (typeof event !== 'object' || event === null || typeof (event as { type?: unknown }).type !== 'string') {
      return 'event: must be an object with a type';
    }
    return { kind, id, event: event as { readonly type: string } };
  }
}

function refusal(code: 'not-found' | 'internal', message: string): ActorAnswer {
  return { ok: false, error: { code, message } };
}

function parseObject<T>(value: unknown): T {
  if (typeof value !== 'object' || value === null) throw new Error('not an object');
  return value as T;
}
