import { type Cut, encode, subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { CutBoard } from './cut-board.ts';

function makeCut(epoch: number, seq: number, n: number): Cut {
  const numbers = { intentApplied: 0, configVersion: 1, waiting: 0, refused: 0, oldestWaitMs: 0, warm: 0, warmOldTemplate: 0 };
  const states = { spawning: 0, reserved: 0, parked: 0, draining: 0, unreachable: 0, silent: [], waitingOf: {}, alive: 0 };
  const breaker = { isOpen: false, failuresInRow: 0, isProbeDue: false };
  return { shard: 's', pool: 's', epoch, seq, n, ...numbers, ...states, breaker, capacity: { kind: 'unbounded' } };
}

function makeBoard() {
  const shadow = { epoch: 0, seq: 0 };
  const board = new CutBoard(() => shadow);
  const accept = (epoch: number, seq: number, n: number): boolean =>
    board.accept({
      subject: subjects.miss('s'),
      data: encode(makeCut(epoch, seq, n)),
      expectsReply: false,
      respond: () => undefined,
    }) !== undefined;
  return { shadow, board, accept };
}

test('a cut that is not newer changes nothing, however far behind the journal is followed', () => {
  const { shadow, board, accept } = makeBoard();
  Object.assign(shadow, { epoch: 2, seq: 90 });
  expect(accept(3, 100, 5)).toBe(true);
  for (const [epoch, seq, n] of [
    [3, 100, 5],
    [3, 100, 4],
    [3, 99, 9],
    [2, 120, 9],
  ] as const)
    expect(accept(epoch, seq, n)).toBe(false);
  Object.assign(shadow, { epoch: 3, seq: 130 });
  expect(accept(2, 125, 9)).toBe(false);
  expect(board.get('s')?.seq).toBe(100);
  expect(accept(3, 100, 6)).toBe(true);
});

test('where NATS lost a whole journal the cuts of its new epochs count, though they are lower', () => {
  const { shadow, board, accept } = makeBoard();
  expect(accept(4, 100, 5)).toBe(true);
  Object.assign(shadow, { epoch: 1, seq: 99 });
  expect(accept(1, 99, 1)).toBe(false);
  Object.assign(shadow, { epoch: 1, seq: 101 });
  expect(accept(1, 101, 2)).toBe(true);
  expect(board.get('s')?.epoch).toBe(1);
});
