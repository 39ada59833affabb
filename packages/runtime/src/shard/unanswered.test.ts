import { expect, it } from 'vitest';
import type { ShardDefinition } from '../contract.ts';
import { TestCluster } from '../test-cluster.ts';

/** A shard that answers only where it is told to: `name` is who runs it. */
function slow(name: string, isAnswering: () => boolean): ShardDefinition {
  return {
    shard: 'slow',
    kinds: [],
    open: () => ({
      mailboxMax: 100,
      command: (turn, command) => {
        if (isAnswering()) turn.answer(command, name);
      },
      effect: () => undefined,
      quarantined: () => undefined,
      close: () => undefined,
    }),
  };
}

async function startTwo() {
  const cluster = new TestCluster();
  const { clock } = cluster;
  const a = await cluster.start('a', [slow('a', () => false)]);
  await clock.runUntil(() => a.runtime.isOwned('slow'));
  const b = await cluster.start('b', [slow('b', () => true)]);
  await clock.run(2_000);
  let answer: unknown;
  const asked = a.runtime.ask('slow', {}, { timeoutMs: 60_000 }).then(({ value }) => {
    answer = value;
  });
  await clock.run(100);
  expect(answer).toBeUndefined();
  return { clock, a, b, asked, answer: () => answer };
}

it('whoever waits for an answer of its own replica asks the next owner as soon as the shard is lost', async () => {
  const { clock, a, b, answer } = await startTwo();
  a.pauseFor(5_000);
  await clock.runUntil(() => b.runtime.isOwned('slow'));
  await clock.run(7_000);
  expect(a.runtime.isOwned('slow')).toBe(false);
  expect(answer()).toBe('b');
});

it('whoever waits for an answer of a replica that stops has it from the next owner before it ends', async () => {
  const { clock, a, asked, answer } = await startTwo();
  await clock.resolve(a.runtime.stop(8_000));
  await asked;
  expect(answer()).toBe('b');
});
