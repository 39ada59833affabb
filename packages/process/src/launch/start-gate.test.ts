import { describe, expect, it } from 'vitest';
import { StartGate } from './start-gate.ts';

describe('StartGate', () => {
  it('lets no more than its limit be under way, and all through in the end', async () => {
    const gate = new StartGate(3);
    let underWay = 0;
    let most = 0;
    const starts = Array.from({ length: 20 }, (_, at) =>
      gate.run(async () => {
        underWay += 1;
        most = Math.max(most, underWay);
        await gate.turn(() => undefined);
        underWay -= 1;
        if (at % 4 === 0) throw new Error('a start that fails');
        return at;
      }),
    );
    const outcomes = await Promise.allSettled(starts);
    expect(most).toBe(3);
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBe(15);
  });

  it('gives every spawn a turn of the loop of its own', async () => {
    const gate = new StartGate(10);
    let turn = 0;
    const count = (): void => {
      turn += 1;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const turns = await Promise.all(Array.from({ length: 5 }, () => gate.turn(() => turn)));
    clearImmediate(immediate);
    expect(new Set(turns).size).toBe(5);
  });

  it('goes on after a spawn that failed', async () => {
    const gate = new StartGate(1);
    await expect(
      gate.turn(() => {
        throw new Error('EAGAIN');
      }),
    ).rejects.toThrow('EAGAIN');
    expect(await gate.turn(() => 'next')).toBe('next');
  });
});
