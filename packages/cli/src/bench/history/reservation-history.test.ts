import { describe, expect, it } from 'vitest';
import type { Intended } from './intent-rule.ts';
import { DONE, type LiveReservation, ReservationHistory } from './reservation-history.ts';

type Line = readonly [type: LineType, ...words: (string | number)[]];

type LineType = 'asked' | 'granted' | 'refused' | 'renewed' | 'lost' | 'releasing' | 'released' | 'killed' | 'saw' | 'foreign';

const CAPS = { pools: { p: 3 }, orgs: { acme: 1 } };

/** Tells one line after the other, a millisecond apart; every request is of pool `p`, and of its own org if it names none. */
function violationsOf(lines: readonly Line[], atTheEnd?: readonly LiveReservation[], intents: readonly Intended[] = []): readonly string[] {
  const history = new ReservationHistory(CAPS);
  for (const [atMs, [type, first, second, epoch]] of lines.entries()) {
    const name = String(first);
    const word = String(second);
    switch (type) {
      case 'asked':
        history.asked(name, atMs, { pool: 'p', org: second === undefined ? name : word });
        break;
      case 'granted':
        history.granted({ slot: word, epoch: Number(epoch), holder: name, atMs });
        break;
      case 'refused':
        history.refused(name, atMs);
        break;
      case 'renewed':
        if (word !== DONE) history.lost(reservation(name), word, atMs);
        break;
      case 'lost':
        history.lost(reservation(name), word, atMs);
        break;
      case 'releasing':
        history.releasing(reservation(name), atMs);
        break;
      case 'released':
        history.released(reservation(name), word, atMs);
        break;
      case 'killed':
        history.workerKilled(name, atMs);
        break;
      case 'saw':
        history.saw(name, Number(second));
        break;
      case 'foreign':
        history.sawForeignData(name, word);
        break;
    }
  }
  for (const intent of intents) history.intended(intent);
  return history.violations(atTheEnd).map(({ rule, what }) => `${rule}: ${what}`);
}

function reservation(name: string): LiveReservation {
  const [slot = '', epoch] = name.split('_');
  return { slot, epoch: Number(epoch) };
}

function live(...names: readonly string[]): readonly LiveReservation[] {
  return names.map(reservation);
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

describe('the rules of a history', () => {
  it('has nothing to say about what may be', () => {
    expect(violationsOf(ORDINARY, live('a_2'))).toEqual([]);
  });

  it('allows for answers that were lost: a release that finds its own first try, a grant that nobody heard of', () => {
    const lines: readonly Line[] = [
      ['asked', 'one'],
      ['granted', 'one', 'a', 1],
      ['releasing', 'a_1'],
      ['asked', 'two'],
      ['granted', 'two', 'a', 2],
      ['releasing', 'a_1'],
      ['released', 'a_1', 'stale-epoch'],
      ['releasing', 'a_2'],
      ['releasing', 'a_2'],
      ['released', 'a_2', 'released'],
      ['asked', 'unheard'],
    ];
    expect(violationsOf(lines, live('b_1'))).toEqual([]);
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
    expect(violationsOf(lines, live('a_2'))).toEqual([]);
  });

  it('allows for what is lost with a worker that was killed, and for a reservation whose holder has gone', () => {
    const lines: readonly Line[] = [
      ['asked', 'one'],
      ['granted', 'one', 'a', 1],
      ['asked', 'two'],
      ['granted', 'two', 'b', 1],
      ['killed', 'a'],
      ['renewed', 'a_1', 'worker-lost'],
      ['killed', 'b'],
      ['releasing', 'b_1'],
      ['released', 'b_1', 'worker-lost'],
    ];
    expect(violationsOf(lines, [])).toEqual([]);
  });

  it('allows for as much as the caps do', () => {
    const lines: readonly Line[] = [
      ['asked', 'one', 'acme'],
      ['granted', 'one', 'a', 1],
      ['releasing', 'a_1'],
      ['asked', 'two', 'acme'],
      ['granted', 'two', 'b', 1],
      ['asked', 'three'],
      ['granted', 'three', 'c', 1],
      ['asked', 'four'],
      ['granted', 'four', 'd', 1],
      // A worker that was killed is replaced before its holder hears of it.
      ['killed', 'd'],
      ['asked', 'five'],
      ['granted', 'five', 'e', 1],
      ['saw', 'p', 3],
    ];
    expect(violationsOf(lines)).toEqual([]);
  });

  const intent = { pool: 'p', n: 7, start: 0, floor: 2, waiting: 0, refused: 0, supply: 0 };

  it('allows for an intent that starts what is needed, also for who was just served or has been refused', () => {
    const lines: readonly Line[] = [
      ['asked', 'one'],
      ['asked', 'two'],
      ['refused', 'two'],
      ['granted', 'one', 'a', 1],
    ];
    expect(violationsOf(lines, undefined, [{ ...intent, atMs: 1_000, start: 3, waiting: 1, refused: 1, supply: 1 }])).toEqual([]);
  });

  it.each<[what: string, intended: Intended]>([
    ['more than its numbers need', { ...intent, atMs: 2, start: 3, waiting: 1, supply: 1 }],
    ['for more waiters than there are', { ...intent, atMs: 2, start: 4, waiting: 2 }],
    ['for a request that comes later', { ...intent, atMs: 0, start: 4, waiting: 2 }],
    ['for one that was served long ago', { ...intent, atMs: 60_000, start: 3, waiting: 1 }],
  ])('finds an intent that starts %s', (_what, intended) => {
    const lines: readonly Line[] = [
      ['asked', 'one'],
      ['granted', 'one', 'a', 1],
      ['asked', 'two'],
      ['granted', 'two', 'b', 1],
    ];
    expect(violationsOf(lines, undefined, [intended])).toEqual([expect.stringMatching(/^H10: intent 7 /)]);
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
      'a release that finds itself done at its only try',
      'H5',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['releasing', 'a_1'],
        ['released', 'a_1', 'released'],
      ],
      [],
    ],
    [
      'a release that was tried again and finds the lease over',
      'H5',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['releasing', 'a_1'],
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
    [
      'a release that finds a killed worker where none was killed',
      'H5',
      [
        ['asked', 'one'],
        ['granted', 'one', 'a', 1],
        ['killed', 'b'],
        ['releasing', 'a_1'],
        ['released', 'a_1', 'worker-lost'],
      ],
      [],
    ],
    [
      'an org with more than its cap',
      'H8',
      [
        ['asked', 'one', 'acme'],
        ['granted', 'one', 'a', 1],
        ['asked', 'two', 'acme'],
        ['granted', 'two', 'b', 1],
      ],
      live('a_1', 'b_1'),
    ],
    [
      'a pool with more than its cap',
      'H8',
      ['a', 'b', 'c', 'd'].flatMap((name): Line[] => [
        ['asked', name],
        ['granted', name, name, 1],
      ]),
      live('a_1', 'b_1', 'c_1', 'd_1'),
    ],
    ['a pool that was seen with more than its cap', 'H8', [['saw', 'p', 4]], []],
    [
      'data of another org',
      'H9',
      [
        ['asked', 'one'],
        ['foreign', 'one', 'a row of two'],
        ['refused', 'one'],
      ],
      [],
    ],
  ])('finds %s', (_what, rule, lines, alive) => {
    const said = violationsOf(lines, alive);
    expect(said.length).toBeGreaterThan(0);
    expect(said.every((one) => one.startsWith(rule))).toBe(true);
  });
});

const grant = (slot: string, epoch: number, holder: string, atMs: number) => ({ slot, epoch, holder, atMs });

describe('ReservationHistory', () => {
  it('finds nothing wrong with slots that go from one holder to the next', () => {
    const history = new ReservationHistory();
    for (let epoch = 1; epoch <= 50; epoch++) {
      const given = grant('p-1', epoch, `tenant ${epoch}`, epoch * 10);
      history.granted(given);
      history.releasing(given, epoch * 10 + 9);
    }
    history.granted(grant('p-2', 1, 'tenant 1', 5));
    expect(history.check()).toEqual({ lost: 0, givenTwice: 0, findings: [] });
  });

  it('takes the same answer twice for one grant', () => {
    const history = new ReservationHistory();
    history.granted(grant('p-1', 1, 'a', 1));
    history.granted(grant('p-1', 1, 'a', 2));
    expect(history.check().givenTwice).toBe(0);
  });

  it('finds one epoch that two holders were given (H1)', () => {
    const history = new ReservationHistory();
    const first = grant('p-1', 7, 'a', 1);
    history.granted(first);
    history.releasing(first, 2);
    history.granted(grant('p-1', 7, 'b', 100));
    expect(history.check()).toMatchObject({ lost: 0, givenTwice: 1, findings: ['p-1 epoch 7 was given to a and to b'] });
  });

  it('finds a slot that was given while another one held it (H3), in whatever order that came to light', () => {
    const history = new ReservationHistory();
    history.granted(grant('p-1', 2, 'b', 50));
    const first = grant('p-1', 1, 'a', 10);
    history.granted(first);
    history.releasing(first, 60);
    expect(history.check()).toMatchObject({ givenTwice: 1, findings: ['p-1 was given to b (epoch 2) while a held it (epoch 1)'] });
  });

  it('finds an overlap behind a short life in between', () => {
    const history = new ReservationHistory();
    history.granted(grant('p-1', 1, 'a', 0));
    const short = grant('p-1', 2, 'b', 10);
    history.granted(short);
    history.releasing(short, 11);
    history.granted(grant('p-1', 3, 'c', 20));
    expect(history.check().givenTwice).toBe(2);
  });

  it('counts what was lost (H4), and lets the slot go on afterwards', () => {
    const history = new ReservationHistory();
    const given = grant('p-1', 1, 'a', 0);
    history.granted(given);
    history.lost(given, 'worker-lost', 30);
    history.lost(given, 'told again', 31);
    history.granted(grant('p-1', 2, 'b', 40));
    expect(history.check()).toEqual({ lost: 1, givenTwice: 0, findings: ['a lost p-1 (epoch 1): worker-lost'] });
  });

  it.each([
    ['finds itself done by a try of the cluster, which asks again after 10 ms', 'released', 45, 0],
    ['finds itself done sooner than anybody tries again', 'released', 9, 1],
    ['finds the lease over, however long it took', 'lease-expired', 45, 1],
  ])('a release that was sent once %s (H5)', (_what, outcome, tookMs, lost) => {
    const history = new ReservationHistory();
    const given = grant('p-1', 1, 'a', 0);
    history.granted(given);
    history.releasing(given, 100);
    history.released(given, outcome, 100 + tookMs);
    expect(history.check()).toMatchObject({ lost, givenTwice: 0 });
  });

  it('counts data of another org as given twice (H9)', () => {
    const history = new ReservationHistory();
    history.sawForeignData('a', 'key 3 is of tenant 2');
    expect(history.check()).toMatchObject({ givenTwice: 1, findings: ['a saw what is not its own: key 3 is of tenant 2'] });
  });

  it('describes a few, and counts all', () => {
    const history = new ReservationHistory();
    for (let epoch = 1; epoch <= 100; epoch++) {
      history.granted(grant('p-1', epoch, 'a', epoch));
      history.lost(grant('p-1', epoch, 'a', epoch), 'gone', epoch);
    }
    const verdict = history.check();
    expect(verdict.lost).toBe(100);
    expect(verdict.findings).toHaveLength(20);
  });
});
