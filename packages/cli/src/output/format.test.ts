import { expect, test } from 'vitest';
import { formatMs, formatTable, orDash } from './format.ts';

test.each([
  [0.42, '0.4 ms'],
  [950, '950 ms'],
  [12_300, '12.3 s'],
  [240_000, '4 min'],
  [9_000_000, '2.5 h'],
])('%d ms is %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text);
});

test('a table aligns text to the left and numbers to the right', () => {
  const rows = [
    ['duckdb', 5, '-'],
    ['gpu', 12, 'held'],
  ];
  expect(formatTable(['POOL', 'WARM', 'NOTE'], rows)).toBe('POOL    WARM  NOTE\nduckdb     5  -\ngpu       12  held');
});

test('nothing is a dash', () => {
  expect([null, undefined, '', 0, 'x'].map(orDash)).toEqual(['-', '-', '-', '0', 'x']);
});
