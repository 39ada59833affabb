import type { MessageBus } from '@muster/ports';
import {
  decodeAs,
  encode,
  type HelloAnswer,
  subjects,
  type WorkerBeat,
  type WorkerCommand,
  workerAnswerSchema,
  workerBeatSchema,
} from '@muster/protocol';
import { eventually } from '@muster/testkit';
import type { Answer } from './serving.ts';

export const SHARD = 'duckdb';
export const SLOT = 'duckdb-a1';

/** More than the buffers between two processes hold: it runs until its caller has read it. */
export const LARGE = "SELECT repeat('x', 1000) FROM range(30000)";
export const LARGE_ROWS = 30_000;

/** What the owner of a shard is to one of its workers. */
export async function ownerOf(bus: MessageBus) {
  const hellos: WorkerBeat[] = [];
  bus.subscribe(subjects.workerHellos(SHARD), (message) => {
    hellos.push(decodeAs(workerBeatSchema, message.data));
    message.respond(encode({ type: 'welcome', beatMs: 1_000 } satisfies HelloAnswer));
  });
  await bus.flush();
  const hello = (): Promise<WorkerBeat> => eventually(() => hellos.at(-1) ?? false, { timeoutMs: 60_000 });
  const send = async (command: { readonly type: WorkerCommand['type']; readonly epoch: number; readonly [field: string]: unknown }) => {
    const { instance } = await hello();
    const reservation = `${SLOT}_${command.epoch}`;
    const data = encode({ slot: SLOT, instance, reservation, ...command });
    const reply = await bus.request(subjects.workerCommand(SHARD, SLOT, instance), data, { timeoutMs: 60_000 });
    return decodeAs(workerAnswerSchema, reply.data);
  };
  /** As the holder of the reservation of that epoch. */
  const fetchQuery = async (epoch: number, sql: string): Promise<Response> =>
    fetch(`${(await hello()).endpoint}/query`, {
      method: 'POST',
      headers: { authorization: `Bearer token-${epoch}` },
      body: JSON.stringify({ sql }),
    });
  return {
    hello,
    activate: (epoch: number, org: string, activation: object = {}) =>
      send({ type: 'activate', epoch, org, pool: 'duckdb', token: `token-${epoch}`, activation }),
    release: (epoch: number) => send({ type: 'release', epoch }),
    reset: (epoch: number) => send({ type: 'reset', epoch }),
    drain: (epoch: number, graceMs: number) => send({ type: 'drain', epoch, graceMs }),
    fetchQuery,
    async query(epoch: number, sql: string): Promise<Answer> {
      const response = await fetchQuery(epoch, sql);
      return { status: response.status, body: (await response.json()) as Answer['body'] };
    },
  };
}
