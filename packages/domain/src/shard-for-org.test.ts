import { expect, test } from 'vitest';
import { shardForOrg } from './shard-for-org.ts';

const parts = (count: number) => Array.from({ length: count }, (_, part) => String(part));

test('agrees with the published FNV-1a vectors, so that clients in other languages find the same shard', () => {
  // 32-bit FNV-1a: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968 (draft-eastlake-fnv, test vectors).
  const many = parts(65_536);
  expect(shardForOrg('', many)).toBe(String(0x811c9dc5 % 65_536));
  expect(shardForOrg('a', many)).toBe(String(0xe40c292c % 65_536));
  expect(shardForOrg('foobar', many)).toBe(String(0xbf9cf968 % 65_536));
});

test('one shard takes every org, and several share them about equally', () => {
  expect(shardForOrg('acme', ['duckdb'])).toBe('duckdb');
  const counts = new Map<string, number>();
  for (let n = 0; n < 8_000; n++) {
    const shard = shardForOrg(`org-${n}`, parts(8));
    counts.set(shard, (counts.get(shard) ?? 0) + 1);
  }
  expect(counts.size).toBe(8);
  for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});

test('no shards is a defect of the caller', () => {
  expect(() => shardForOrg('acme', [])).toThrow(RangeError);
});
