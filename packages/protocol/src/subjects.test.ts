import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { shardsOf, subjects, tryShardOf, trySlotOf } from './subjects.ts';

const page = readFileSync(new URL('../../../docs/reference/subjects.md', import.meta.url), 'utf8');

test('the page of subjects names every subject', () => {
  const wildcards = new Set([
    'journals',
    'parts',
    'reserveAny',
    'misses',
    'replicaBeats',
    'workerHellos',
    'workerBeats',
    'hostBeats',
    'hostsForgotten',
    'hostWorkers',
  ]);
  const documented = new Set([...page.matchAll(/`(muster\.[^`]+)`/g)].map((match) => (match[1] ?? '').replace(/<[^>]+>/g, 'x')));
  for (const [name, subject] of Object.entries(subjects)) {
    if (wildcards.has(name) || name === 'reservation') continue;
    const text = subject('x', 'x', 'x');
    expect(documented, name).toContain(text);
  }
});

test('a shard is found in the ids that carry it', () => {
  expect(tryShardOf('duckdb-k3f9x2ab')).toBe('duckdb');
  expect(tryShardOf('duckdb--3-k3f9x2ab_12')).toBe('duckdb--3');
  expect(trySlotOf('duckdb-k3f9x2ab_12')).toBe('duckdb-k3f9x2ab');
  expect(tryShardOf('nothing')).toBeUndefined();
  expect(shardsOf('duckdb', 1)).toEqual(['duckdb']);
  expect(shardsOf('duckdb', 2)).toEqual(['duckdb--0', 'duckdb--1']);
});
