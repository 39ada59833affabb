import { ManualClock, MemoryBus, MemoryLogger, MemoryNetwork, SeededRandom, type Subscription } from '@muster/ports';
import { decode, encode, type ReserveAnswer, type ShardCommand, subjects } from '@muster/protocol';
import { MusterClient } from './client.ts';

/** One command as a shard got it. */
export interface Received {
  readonly atMs: number;
  readonly id: string | undefined;
  readonly deadlineMs: number;
  readonly body: ShardCommand;
}

/** What the double answers: a reply (`{epoch, answer}` or `{epoch, error}`), or undefined for silence. */
export type Script = (received: Received, nth: number) => unknown;

export const grant = (id = 'duckdb-s1_1', ttlMs = 6_000): ReserveAnswer => ({
  ok: true,
  reservation: {
    id,
    slot: id.slice(0, id.indexOf('_')),
    org: 'acme',
    epoch: 1,
    endpoint: 'http://127.0.0.1:1',
    token: 't',
    subject: `muster.v1.reservation.${id}`,
    ttlMs,
  },
  source: 'warm',
  waitedMs: 0,
});

export const elsewhere = { epoch: 1, error: { code: 'retry-elsewhere', message: 'the shard has moved' } };

/** A client on memory ports, and a control plane that answers as a script says. */
export function makeCluster(pools: Readonly<Record<string, readonly string[]>> = { duckdb: ['duckdb'] }) {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  const logger = new MemoryLogger();
  const server = new MemoryBus({ network, name: 'server' });
  const bus = new MemoryBus({ network, name: 'client' });
  const client = new MusterClient({ bus, clock, random: new SeededRandom(7), logger });
  const received: Received[] = [];
  let poolQuestions = 0;
  server.subscribe(subjects.pools(), (message) => {
    poolQuestions += 1;
    const listed = Object.entries(pools).map(([pool, shards]) => ({ pool, shards }));
    message.respond(encode({ ok: true, cluster: 'test', pools: listed }));
  });
  const own = (shard: string, script: Script): Subscription => {
    let nth = 0;
    return server.subscribe(subjects.shardRequest(shard), (message) => {
      const { id, deadlineMs, body } = decode(message.data) as Received;
      const command = { atMs: clock.monotonicMs(), id, deadlineMs, body };
      received.push(command);
      const reply = script(command, nth++);
      if (reply !== undefined) message.respond(encode(reply));
    });
  };
  return {
    clock,
    logger,
    server,
    bus,
    client,
    received,
    own,
    poolQuestions: () => poolQuestions,
    of: (type: ShardCommand['type']) => received.filter(({ body }) => body.type === type),
  };
}
