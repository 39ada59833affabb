import { describe, expect, it } from 'vitest';
import { formatSize, parseDuration, parseSize } from './units.ts';

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['60s', 60_000],
    ['5m', 300_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    ['0', 0],
    [' 10s ', 10_000],
    ['10 s', 10_000],
  ])('reads %s as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '60', '-5s', '5 minutes', 's', '1e3s', '5S', 'toString', '5toString', '999999999999999d'])('refuses %j', (text) => {
    expect(() => parseDuration(text)).toThrow(RangeError);
  });

  it('says what was given and what is understood', () => {
    expect(() => parseDuration('60')).toThrow('must be a duration like 500ms, 60s, 5m, 2h or 1d, not "60"');
  });
});

describe('parseSize', () => {
  it.each([
    ['256MiB', 268_435_456],
    ['18GiB', 19_327_352_832],
    ['2GB', 2_000_000_000],
    ['1.5KiB', 1_536],
    ['12B', 12],
    ['0', 0],
  ])('reads %s as %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', '256', '-1MiB', '256mib', '256Mi', '1,5GiB', '9999999999TiB'])('refuses %j', (text) => {
    expect(() => parseSize(text)).toThrow(RangeError);
  });
});

describe('formatSize', () => {
  it.each([
    [0, '0 B'],
    [512, '512 B'],
    [268_435_456, '256.0 MiB'],
    [25_769_803_776, '24.0 GiB'],
  ])('writes %d as %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});
