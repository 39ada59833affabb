import { MusterClient } from '@muster/client';
import { MemoryBus, MemoryNetwork, SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { decode, encode, type ShardCommand, subjects } from '@muster/protocol';
import { beforeEach, expect, test } from 'vitest';
import { ReleaseWitness } from './release-witness.ts';

const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
let server: MemoryBus;
let witness: ReleaseWitness;
let refused: string[];

beforeEach(() => {
  const network = new MemoryNetwork({ clock: tools.clock });
  server = new MemoryBus({ network, name: 'server' });
  refused = [];
  witness = new ReleaseWitness(new MemoryBus({ network, name: 'client' }), (reservation, why) => refused.push(`${reservation} ${why}`));
});

/** Answers each message to the pool's shard with the next of these. */
function answerWith(...answers: readonly unknown[]): ShardCommand[] {
  const bodies: ShardCommand[] = [];
  server.subscribe(subjects.shardRequest('pool'), (message) => {
    bodies.push((decode(message.data) as { body: ShardCommand }).body);
    message.respond(encode(answers[bodies.length - 1]));
  });
  return bodies;
}

const ended = (reason: string) => ({
  epoch: 1,
  answer: { ok: true, results: [{ id: 'pool-1_4', ok: false, error: { code: 'ended', message: 'over', reason } }] },
});

test('tells of a release whose reservation somebody else had ended, which the client takes for success', async () => {
  answerWith(ended('lease-expired'));
  await new MusterClient({ bus: witness, ...tools }).release({ id: 'pool-1_4', epoch: 4 });
  expect(refused).toEqual(['pool-1_4 ended: lease-expired']);
});

test('says nothing where a release that was repeated finds its own first try', async () => {
  const bodies = answerWith({ epoch: 1, error: { code: 'retry-elsewhere', message: 'the shard has moved' } }, ended('released'));
  await new MusterClient({ bus: witness, ...tools }).release({ id: 'pool-1_4', epoch: 4 });
  expect(bodies).toHaveLength(2);
  expect(refused).toEqual([]);
});

test('says nothing of a release that went well', async () => {
  answerWith({ epoch: 1, answer: { ok: true, results: [{ id: 'pool-1_4', ok: true }] } });
  await new MusterClient({ bus: witness, ...tools }).release({ id: 'pool-1_4', epoch: 4 });
  expect(refused).toEqual([]);
});
