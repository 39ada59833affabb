import { ManualClock, MemoryLogger } from '@muster/ports';
import { describe, expect, it } from 'vitest';
import { AllowedCommands, type PoolCommand } from './allowed-commands.ts';

function world(pools: Record<string, PoolCommand>) {
  const clock = new ManualClock();
  const logger = new MemoryLogger();
  const file = { pools, reads: 0, error: undefined as Error | undefined };
  const commands = new AllowedCommands({
    clock,
    logger,
    read: async () => {
      file.reads += 1;
      if (file.error !== undefined) throw file.error;
      return new Map(Object.entries(file.pools));
    },
  });
  return { clock, logger, file, commands };
}

const DUCKDB: PoolCommand = { command: ['node', 'main.ts'], env: { NODE_OPTIONS: '--max-old-space-size=200' } };

describe('AllowedCommands', () => {
  it('allows what the configuration names, and nothing else', async () => {
    const { commands } = world({ duckdb: DUCKDB });
    expect(await commands.refusalOf('duckdb', ['node', 'main.ts'], { LOG_LEVEL: 'info' })).toBeUndefined();
    expect(await commands.refusalOf('duckdb', ['node', 'other.ts'], {})).toContain('another command');
    expect(await commands.refusalOf('duckdb', ['node', 'main.ts', '--inspect'], {})).toContain('another command');
    expect(await commands.refusalOf('duckdb', undefined, {})).toContain('another command');
    expect(await commands.refusalOf('other', ['node', 'main.ts'], {})).toContain('no pool other');
  });

  it.each(['NODE_OPTIONS', 'LD_PRELOAD', 'PATH', 'MUSTER_TOKEN'])(
    'refuses %s in the environment unless it is configured so',
    async (name) => {
      const { commands } = world({ duckdb: DUCKDB });
      expect(await commands.refusalOf('duckdb', DUCKDB.command, { [name]: 'x' })).toContain(name);
      expect(await commands.refusalOf('duckdb', DUCKDB.command, DUCKDB.env)).toBeUndefined();
    },
  );

  it('reads the configuration again when it is asked for what is not in it, at most once a second', async () => {
    const { commands, file, clock } = world({});
    expect(await commands.refusalOf('duckdb', DUCKDB.command, {})).toBeDefined();
    file.pools = { duckdb: DUCKDB };
    expect(await commands.refusalOf('duckdb', DUCKDB.command, {})).toBeDefined();
    expect(file.reads).toBe(1);
    clock.advance(1_000);
    expect(await commands.refusalOf('duckdb', DUCKDB.command, {})).toBeUndefined();
    expect(await commands.refusalOf('duckdb', DUCKDB.command, {})).toBeUndefined();
    expect(file.reads).toBe(2);
  });

  it('keeps what it has when the configuration cannot be read', async () => {
    const { commands, file, clock, logger } = world({ duckdb: DUCKDB });
    await commands.refusalOf('duckdb', DUCKDB.command, {});
    file.error = new Error('half written');
    clock.advance(1_000);
    expect(await commands.refusalOf('other', DUCKDB.command, {})).toContain('no pool other');
    expect(await commands.refusalOf('duckdb', DUCKDB.command, {})).toBeUndefined();
    expect(logger.lines.map(({ level }) => level)).toEqual(['error']);
  });
});
