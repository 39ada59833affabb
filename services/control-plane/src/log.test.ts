import { expect, test } from 'vitest';
import { makeLogger } from './log.ts';

function written(level: string): { readonly lines: Record<string, unknown>[]; readonly logger: ReturnType<typeof makeLogger> } {
  const lines: Record<string, unknown>[] = [];
  return { lines, logger: makeLogger(level, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) }) };
}

test('a line is JSON with its level by name, its fields and those of its parents', () => {
  const { lines, logger } = written('info');
  logger.child({ replica: 'r1' }).child({ shard: 'duckdb' }).warn({ slot: 's' }, 'a worker has fallen silent');
  logger.debug({}, 'not shown');
  expect(lines).toEqual([
    { level: 'warn', time: expect.any(Number) as number, replica: 'r1', shard: 'duckdb', slot: 's', msg: 'a worker has fallen silent' },
  ]);
});

test('no secret is written, should one ever come here', () => {
  const { lines, logger } = written('debug');
  logger.error(
    { token: 't0psecret', reservation: { id: 'r', token: 't0psecret' }, command: { activation: { password: 't0psecret' } } },
    'x',
  );
  expect(JSON.stringify(lines)).not.toContain('t0psecret');
  expect(lines[0]).toMatchObject({ reservation: { id: 'r' } });
});
