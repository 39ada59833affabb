// Every simple path of the bank's machine (the example of the runtime), within a few deposits and what they cover.
import { expect, test } from 'vitest';
import { initialTransition, transition } from 'xstate';
import { getSimplePaths } from 'xstate/graph';
import { account } from '../integration/bank/bank.ts';

const BALANCE_MAX = 60;
const events = [
  { type: 'deposit', amount: 10 },
  { type: 'withdraw', amount: 10 },
  { type: 'withdraw', amount: 25 },
] as const;

const paths = getSimplePaths(account.machine, {
  events,
  serializeState: ({ context }) => String((context as { readonly balance: number }).balance),
  stopWhen: ({ context }) => (context as { readonly balance: number }).balance >= BALANCE_MAX,
}).map(({ steps }) => steps.slice(1).map(({ event }) => event as (typeof events)[number]));

test('an account never goes below nothing, and its balance is what was paid in less what was covered', () => {
  const balances = new Set<number>();
  for (const path of paths) {
    let [state] = initialTransition(account.machine);
    let wanted = 0;
    for (const event of path) {
      const isTaken = event.type === 'deposit' || event.amount <= wanted;
      if (isTaken) wanted += event.type === 'deposit' ? event.amount : -event.amount;
      const [next, actions] = transition(account.machine, state, event);
      expect([next.context, next === state]).toEqual([{ balance: wanted }, !isTaken]);
      // What was done is said, and nothing else.
      const emitted = actions as readonly { readonly type: string; readonly params?: unknown }[];
      const said = emitted.filter(({ type }) => type === 'xstate.emit').map(({ params }) => (params as { event: unknown }).event);
      expect(said).toEqual(isTaken ? [{ type: 'reply', value: wanted }] : []);
      state = next;
      balances.add(wanted);
    }
  }
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.some((path) => path.some((event) => event.type === 'withdraw' && event.amount === 25))).toBe(true);
  expect(balances.size).toBeGreaterThan(10);
});
