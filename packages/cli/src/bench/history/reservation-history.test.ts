import { describe, expect, it } from 'vitest';
import { ReservationHistory } from './reservation-history.ts';

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

  it('finds one epoch that two holders were given (C1)', () => {
    const history = new ReservationHistory();
    const first = grant('p-1', 7, 'a', 1);
    history.granted(first);
    history.releasing(first, 2);
    history.granted(grant('p-1', 7, 'b', 100));
    expect(history.check()).toMatchObject({ lost: 0, givenTwice: 1, findings: ['p-1 epoch 7 was given to a and to b'] });
  });

  it('finds a slot that was given while another one held it (C2), in whatever order that came to light', () => {
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

  it('counts what was lost (C3), and lets the slot go on afterwards', () => {
    const history = new ReservationHistory();
    const given = grant('p-1', 1, 'a', 0);
    history.granted(given);
    history.lost(given, 'worker-lost', 30);
    history.lost(given, 'told again', 31);
    history.granted(grant('p-1', 2, 'b', 40));
    expect(history.check()).toEqual({ lost: 1, givenTwice: 0, findings: ['a lost p-1 (epoch 1): worker-lost'] });
  });

  it('counts data of another org as given twice (C4)', () => {
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
