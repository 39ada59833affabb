import { describe, expect, it } from 'vitest';
import { DONE, type HistoryEvent, type LiveReservation, violationsOf } from './history.ts';

type Line = readonly [type: HistoryEvent['type'], ...words: (string | number)[]];

/** One event for each line, a millisecond apart. */
function history(...lines: readonly Line[]): readonly HistoryEvent[] {
  return lines.map(([type, first, second, epoch], atMs): HistoryEvent => {
    const name = String(first);
    const word = String(second);
    switch (type) {
      case 'asked':
      case 'refused':
        return { atMs, type, request: name };
      case 'granted':
        return { atMs, type, request: name, reservation: `${word}_${epoch}`, slot: word, epoch: Number(epoch) };
      case 'lost':
        return { atMs, type, reservation: name, reason: word };
      case 'releasing':
        return { atMs, type, reservation: name };
      case 'renewed':
      case 'released':
        return { atMs, type, reservation: name, outcome: word };
    }
  });
}

function live(...reservations: readonly string[]): readonly LiveReservation[] {
  return reservations.map((reservation) => {
    const [slot = '', epoch] = reservation.split('_');
    return { reservation, slot, epoch: Number(epoch) };
  });
}

const ORDINARY: readonly Line[] = [
  ['asked', 'one'],
  ['granted', 'one', 'a', 1],
  ['renewed', 'a_1', DONE],
  ['asked', 'one'],
  ['granted', 'one', 'a', 1],
  ['releasing', 'a_1'],
  ['released', 'a_1', DONE],
  ['asked', 'two'],
  ['granted', 'two', 'a', 2],
  ['asked', 'three'],
  ['refused', 'three'],
];

describe('violationsOf', () => {
  it('has nothing to say about what may be', () => {
    expect(violationsOf(history(...ORDINARY), live('a_2'))).toEqual([]);
  });

  it('allows for answers that were lost: a release that finds its own first try, a grant that nobody heard of', () => {
    const lines: readonly Line[] = [
      ['asked', 'one'],
      ['granted', 'one', 'a', 1],
      ['releasing', 'a_1'],
      ['asked', 'two'],
      ['granted', 'two', 'a', 2],
      ['released', 'a_1', 'stale-epoch'],
      ['releasing', 'a_2'],
      ['released', 'a_2', 'released'],
      ['asked', 'unheard'],
    ];
    expect(violationsOf(history(...lines), live('b_1'))).toEqual([]);
  });

  it('allows for answers that come late: a release that is under way while its slot is given on', () => {
    const lines: readonly Line[] = [
      ['asked', 'one'],
      ['granted', 'one', 'a', 1],
      ['asked', 'two'],
      ['releasing', 'a_1'],
      ['granted', 'two', 'a', 2],
      ['renewed', 'a_1', 'stale-epoch'],
      ['released', 'a_1', DONE],
    ];
    expect(violationsOf(history(...lines), live('a_2'))).toEqual([]);
  });

  it.each<[what: string, rule: string, lines: readonly Line[], alive: readonly LiveReservation[]]>([
    [
      'a slot and epoch given to two requests',
      'H1',
      [
        ['asked', 'one'],
        ['asked', 'two'],
        ['granted', 'one', 'a', 1],
        ['releasing', 'a_1'],
        ['granted', 'two', 'a', 1],
      ],
      live('a_1'),
    ],
    [
      'two reservations of one request',
      'H2',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['granted', 'one', 'b', 1],
      ],
      live('a_1', 'b_1'),
    ],
    [
      'a miss for a request that was granted',
      'H2',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['refused', 'one'],
      ],
      live('a_1'),
    ],
    [
      'two holders of one slot',
      'H3',
      [
        ['asked', 'one'],
        ['asked', 'two'],
        ['granted', 'one', 'a', 1],
        ['granted', 'two', 'a', 2],
      ],
      live('a_1', 'a_2'),
    ],
    [
      'two holders of one slot, the older heard of last',
      'H3',
      [
        ['asked', 'one'],
        ['asked', 'two'],
        ['granted', 'two', 'a', 2],
        ['granted', 'one', 'a', 1],
      ],
      live('a_1', 'a_2'),
    ],
    [
      'a renewal of what is held that finds it ended',
      'H4',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['renewed', 'a_1', 'lease-expired'],
      ],
      live('a_1'),
    ],
    [
      'a holder that is told of a loss',
      'H4',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['lost', 'a_1', 'worker-lost'],
      ],
      live('a_1'),
    ],
    [
      'a release that finds it ended otherwise',
      'H5',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['releasing', 'a_1'],
        ['released', 'a_1', 'lease-expired'],
      ],
      [],
    ],
    [
      'a release that finds a newer epoch that nobody has',
      'H5',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['releasing', 'a_1'],
        ['released', 'a_1', 'stale-epoch'],
      ],
      [],
    ],
    [
      'a grant from an old state',
      'H6',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 5],
        ['releasing', 'a_5'],
        ['released', 'a_5', DONE],
        ['asked', 'two'],
        ['granted', 'two', 'a', 4],
      ],
      live('a_4'),
    ],
    [
      'a reservation that vanished',
      'H7',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
      ],
      [],
    ],
    [
      'a reservation that outlives its release',
      'H7',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['releasing', 'a_1'],
        ['released', 'a_1', DONE],
      ],
      live('a_1'),
    ],
    [
      'a reservation that nobody has',
      'H7',
      [
        ['asked', 'one'],
        ['refused', 'one'],
      ],
      live('a_1'),
    ],
  ])('finds %s', (_what, rule, lines, alive) => {
    const said = violationsOf(history(...lines), alive);
    expect(said.length).toBeGreaterThan(0);
    expect(said.every((one) => one.startsWith(rule))).toBe(true);
  });
});
