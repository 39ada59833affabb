import type { AppendOutcome } from '@muster/ports';
import { expect, test } from 'vitest';
import { assertOneWinner } from './append-race.ts';

/** A stream that lets `winners` of the writes to one position through, from round `from` on. */
function makeStream(winners: number, from = 0) {
  let seq = 0;
  let writes = 0;
  const deleted: string[] = [];
  return {
    deleted,
    appendTo: async (): Promise<AppendOutcome> => {
      const round = Math.floor(writes / 6);
      const racer = writes++ % 6;
      return racer < (round >= from ? winners : 1) ? { kind: 'stored', seq: ++seq } : { kind: 'conflict' };
    },
    deletePart: async (shard: string, part: string) => void deleted.push(`${shard}.${part}`),
  };
}

test('one winner a round is what a safe server gives', async () => {
  const stream = makeStream(1);
  await assertOneWinner(stream, 'demo', 'x');
  expect(stream.deleted).toEqual(['probe.x']);
});

test('two winners in any round are refused, and what the race wrote is removed', async () => {
  const stream = makeStream(2, 7);
  await expect(assertOneWinner(stream, 'demo', 'x')).rejects.toMatchObject({
    code: 'unsafe-server',
    message: expect.stringContaining('round 8'),
  });
  expect(stream.deleted).toEqual(['probe.x']);
});

test('no winner at all says that the stream does not answer', async () => {
  await expect(assertOneWinner(makeStream(0), 'demo', 'x')).rejects.toMatchObject({ code: 'journal-unavailable' });
});
