import { describe, expect, it } from 'vitest';
import { ADMIN_LIMITS, adminRequestSchema } from './admin.ts';
import { parse } from './codec.ts';
import { MusterError } from './errors.ts';

function fieldOf(value: unknown): string | undefined {
  try {
    parse(adminRequestSchema, value);
  } catch (error) {
    if (error instanceof MusterError) return error.field;
    throw error;
  }
  return undefined;
}

describe('adminRequestSchema', () => {
  it('fills in the first page and the number of intents', () => {
    expect(parse(adminRequestSchema, { type: 'slots', pool: 'duckdb' })).toEqual({ type: 'slots', pool: 'duckdb', page: 0 });
    expect(parse(adminRequestSchema, { type: 'intents' })).toEqual({ type: 'intents', limit: 50 });
    expect(parse(adminRequestSchema, { type: 'drain', slot: 'duckdb-a1' })).toEqual({ type: 'drain', slot: 'duckdb-a1', force: false });
  });

  it.each([
    [{ type: 'nothing' }, 'type'],
    [{ type: 'status', pool: 'x' }, 'pool'],
    [{ type: 'slots', state: 'asleep' }, 'state'],
    [{ type: 'slots', page: -1 }, 'page'],
    [{ type: 'slots', org: 'a.b' }, 'org'],
    [{ type: 'hold', pool: 'DuckDB' }, 'pool'],
    [{ type: 'hold', pool: 'duckdb', holdMs: ADMIN_LIMITS.holdMsMax + 1 }, 'holdMs'],
    [{ type: 'intents', limit: ADMIN_LIMITS.intentsMax + 1 }, 'limit'],
    [{ type: 'drain', slot: 'a b' }, 'slot'],
    [{ type: 'apply', yaml: 'x'.repeat(ADMIN_LIMITS.yamlCharsMax + 1) }, 'yaml'],
    [{ type: 'forget-host', host: '' }, 'host'],
  ])('refuses %j, naming %s', (value, field) => {
    expect(fieldOf(value)).toBe(field);
  });
});
