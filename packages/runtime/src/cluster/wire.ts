// Commands to the owner of a shard, on the wire: `muster.v1.shard.<shard>.cmd` for replicas, and `.request` for clients,
// which takes only what the shard lets clients ask. NATS permissions keep clients off the first.
//
//   request   {"v": 1, "id"?: string, "deadlineMs": number, "body": any}     deadlineMs: how long the sender waits, relative
//   response  {"epoch": number, "answer": any} or {"epoch": number, "error": {"code", "message", "field"?, "retryAfterMs"?}}
import type { BusMessage, Clock, MessageBus, Subscription } from '@muster/ports';
import { decode, ERROR_CODES, type ErrorCode, encode, isMusterError, MusterError, subjects } from '@muster/protocol';
import type { ShardDefinition } from '../contract.ts';
import type { Asker, CommandError } from '../shard/command.ts';
import type { LiveShard } from '../shard/owned-shard.ts';

/** Nobody's clock is asked to wait for longer. */
const DEADLINE_MAX_MS = 24 * 3_600_000;

export interface CommandRequest {
  readonly id: string | undefined;
  readonly deadlineMs: number;
  readonly body: unknown;
}

export type CommandResponse =
  | { readonly epoch: number; readonly answer: unknown }
  | { readonly epoch: number; readonly error: CommandError };

export function encodeRequest(request: CommandRequest): Uint8Array {
  const { id, deadlineMs, body } = request;
  return encode({ v: 1, ...(id === undefined ? {} : { id }), deadlineMs: Math.ceil(deadlineMs), body });
}

/** @throws MusterError `bad-request` */
export function parseRequest(data: Uint8Array): CommandRequest {
  const value = decode(data);
  if (typeof value !== 'object' || value === null) throw new MusterError('bad-request', 'the command is not an object');
  const { v, id, deadlineMs, body } = value as Record<string, unknown>;
  if (v !== 1) throw new MusterError('bad-request', 'v: must be 1', { field: 'v' });
  if (id !== undefined && (typeof id !== 'string' || id.length === 0 || id.length > 128)) {
    throw new MusterError('bad-request', 'id: must be a string of 1 to 128 characters', { field: 'id' });
  }
  if (typeof deadlineMs !== 'number' || !(deadlineMs >= 0 && deadlineMs <= DEADLINE_MAX_MS)) {
    throw new MusterError('bad-request', `deadlineMs: must be 0 to ${DEADLINE_MAX_MS}`, { field: 'deadlineMs' });
  }
  return { id, deadlineMs, body };
}

/** @throws MusterError `bad-request` where it is none */
export function parseResponse(data: Uint8Array): CommandResponse {
  const value = decode(data) as { readonly epoch?: unknown; readonly answer?: unknown; readonly error?: unknown } | null;
  if (typeof value?.epoch !== 'number') throw new MusterError('bad-request', 'not an answer of a shard');
  if (value.error === undefined) return { epoch: value.epoch, answer: value.answer };
  if (typeof value.error !== 'object' || value.error === null) throw new MusterError('bad-request', 'not an error of a shard');
  const { code, message, field, retryAfterMs } = value.error as Record<string, unknown>;
  return {
    epoch: value.epoch,
    error: {
      code: typeof code === 'string' && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'internal',
      message: String(message),
      ...(typeof field === 'string' ? { field } : {}),
      ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
    },
  };
}

/** Takes the commands of a shard from the bus: those of replicas, and those of clients that `isForClients` lets pass. */
export function serveCommands(
  bus: MessageBus,
  clock: Clock,
  live: LiveShard,
  { shard, isForClients = () => false }: Pick<ShardDefinition, 'shard' | 'isForClients'>,
): Subscription {
  const subscriptions = [
    serve(bus, subjects.shardCommand(shard), clock, live, () => true),
    serve(bus, subjects.shardRequest(shard), clock, live, isForClients),
  ];
  return {
    unsubscribe: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}

function serve(bus: MessageBus, subject: string, clock: Clock, live: LiveShard, isTaken: (body: unknown) => boolean): Subscription {
  return bus.subscribe(subject, (message) => {
    const asker = new BusAsker(message);
    try {
      const { id, deadlineMs, body } = parseRequest(message.data);
      if (!isTaken(body)) throw new MusterError('unauthorized', `${subject}: no client may give this command`);
      live.receive({ body, id, deadlineMs: clock.monotonicMs() + deadlineMs, asker });
    } catch (error) {
      if (!isMusterError(error)) throw error;
      asker.refuse(live.epoch, { code: error.code, message: error.message, ...(error.field === undefined ? {} : { field: error.field }) });
    }
  });
}

class BusAsker implements Asker {
  readonly #message: BusMessage;

  constructor(message: BusMessage) {
    this.#message = message;
  }

  get isWaiting(): boolean {
    return this.#message.expectsReply;
  }

  answer(epoch: number, value: unknown): void {
    try {
      this.#message.respond(encode({ epoch, answer: value }));
    } catch (error) {
      if (!isMusterError(error)) throw error;
      this.refuse(epoch, { code: error.code, message: error.message });
    }
  }

  refuse(epoch: number, error: CommandError): void {
    this.#message.respond(encode({ epoch, error }));
  }
}
