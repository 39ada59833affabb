import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isSameToken, reservationToken, slotToken } from './tokens.ts';

describe('slotToken', () => {
  it('is the HMAC of the slot, so that a worker in another language can be checked by hand', () => {
    expect(slotToken('key', 'duckdb-a1')).toBe(createHmac('sha256', 'key').update('slot\0duckdb-a1').digest('base64url'));
  });

  it('differs by slot and by key', () => {
    const tokens = new Set([slotToken('k', 'a-1'), slotToken('k', 'a-2'), slotToken('l', 'a-1')]);
    expect(tokens.size).toBe(3);
  });
});

describe('reservationToken', () => {
  it('differs by reservation, slot and epoch, and from the token of the slot', () => {
    const tokens = new Set([
      slotToken('k', 'a-1'),
      reservationToken('k', 'a-1_1', 'a-1', 1),
      reservationToken('k', 'a-1_1', 'a-1', 2),
      reservationToken('k', 'a-1_2', 'a-1', 1),
      reservationToken('k', 'a-1_1', 'a-2', 1),
      reservationToken('l', 'a-1_1', 'a-1', 1),
    ]);
    expect(tokens.size).toBe(6);
  });
});

describe('isSameToken', () => {
  it('tells equal from different, of any length', () => {
    expect(isSameToken('abc', 'abc')).toBe(true);
    expect(isSameToken('abc', 'abd')).toBe(false);
    expect(isSameToken('abc', 'ab')).toBe(false);
    expect(isSameToken('', 'a')).toBe(false);
  });
});
