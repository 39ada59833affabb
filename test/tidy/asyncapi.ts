// The public and the workers' subjects as an AsyncAPI document, with the schemas that judge what is sent on them.
import {
  adminRequestSchema,
  cancelRequestSchema,
  cutSchema,
  helloAnswerSchema,
  hostAnswerSchema,
  hostBeatSchema,
  hostCommandSchema,
  hostWorkerSchema,
  reservationRefsSchema,
  reserveRequestSchema,
  subjects,
  workerAnswerSchema,
  workerBeatSchema,
  workerCommandSchema,
} from '@muster/protocol';
import { z } from 'zod';

type Json = Readonly<Record<string, unknown>>;
type Payload = z.ZodType | 'json';

interface Channel {
  readonly subject: string;
  readonly says: string;
  readonly payload: Payload;
  /** What it is answered with; absent: it is published, and nobody answers. */
  readonly answer?: Payload;
}

/** By name; journals and what replicas say among themselves are nobody else's. */
const CHANNELS: Readonly<Record<string, Channel>> = {
  pools: { subject: subjects.pools(), says: 'The pools and their shards.', payload: 'json', answer: 'json' },
  reserve: { subject: subjects.reserve('{pool}'), says: 'Reserves a worker.', payload: reserveRequestSchema, answer: 'json' },
  renew: { subject: subjects.renew(), says: 'Starts leases anew.', payload: reservationRefsSchema, answer: 'json' },
  release: { subject: subjects.release(), says: 'Gives reservations back.', payload: reservationRefsSchema, answer: 'json' },
  cancel: { subject: subjects.cancel(), says: 'Ends a request, whatever has become of it.', payload: cancelRequestSchema, answer: 'json' },
  admin: { subject: subjects.admin(), says: 'Reads for people, and administration.', payload: adminRequestSchema, answer: 'json' },
  lost: { subject: subjects.reservationLost('{reservation}'), says: 'A reservation has ended, and not by its holder.', payload: 'json' },
  events: { subject: subjects.event('{kind}', '{id}', '{state}'), says: 'A committed transition, to look at.', payload: 'json' },
  cut: { subject: subjects.miss('{shard}'), says: 'What a shard misses and has, for the janitor.', payload: cutSchema },
  workerHello: {
    subject: subjects.workerHello('{shard}', '{slot}'),
    says: 'A worker is there.',
    payload: workerBeatSchema,
    answer: helloAnswerSchema,
  },
  workerBeat: { subject: subjects.workerBeat('{shard}', '{slot}'), says: 'A worker is still there.', payload: workerBeatSchema },
  workerCommand: {
    subject: subjects.workerCommand('{shard}', '{slot}', '{instance}'),
    says: 'What a worker is told.',
    payload: workerCommandSchema,
    answer: workerAnswerSchema,
  },
  hostDriver: {
    subject: subjects.hostDriver('{host}'),
    says: 'What a host agent is told.',
    payload: hostCommandSchema,
    answer: hostAnswerSchema,
  },
  hostBeat: { subject: subjects.hostBeat('{host}'), says: 'Capacity and load of a host.', payload: hostBeatSchema },
  hostWorker: { subject: subjects.hostWorker('{host}'), says: 'A worker of a host has changed.', payload: hostWorkerSchema },
};

/** The document: an operation is what Muster's own side does on the channel. */
export function asyncApi(): Json {
  const channels: Record<string, Json> = {};
  const operations: Record<string, Json> = {};
  for (const [name, { subject, says, payload, answer }] of Object.entries(CHANNELS)) {
    const names = [...subject.matchAll(/\{(\w+)\}/g)].map(([, one = '']) => one);
    const messages = { message: messageOf(payload), ...(answer === undefined ? {} : { answer: messageOf(answer) }) };
    const parameters = Object.fromEntries(names.map((one) => [one, {}]));
    channels[name] = { address: subject, description: says, ...(names.length === 0 ? {} : { parameters }), messages };
    const at = (message: string): Json => ({ $ref: `#/channels/${name}/messages/${message}` });
    const reply = { channel: { $ref: `#/channels/${name}` }, messages: [at('answer')] };
    operations[name] = {
      action: ['lost', 'events'].includes(name) ? 'send' : 'receive',
      channel: { $ref: `#/channels/${name}` },
      messages: [at('message')],
      ...(answer === undefined ? {} : { reply }),
    };
  }
  return {
    asyncapi: '3.0.0',
    info: { title: 'Muster', version: 'v1', description: 'docs/reference/subjects.md says what each is for, and what is answered.' },
    defaultContentType: 'application/json',
    channels,
    operations,
  };
}

function messageOf(payload: Payload): Json {
  if (payload === 'json') return { payload: { type: 'object' } };
  const { $schema: _, ...schema } = z.toJSONSchema(payload, { io: 'input', unrepresentable: 'any' });
  return { payload: schema };
}
