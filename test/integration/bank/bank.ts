// A bank account that never goes negative: the example of the README.
import { actorShard, defineActor } from '@muster/runtime';
import { assign, emit, setup } from 'xstate';

type AccountEvent = { readonly type: 'deposit' | 'withdraw'; readonly amount: number };

const machine = setup({
  types: {
    context: {} as { readonly balance: number },
    events: {} as AccountEvent,
    emitted: {} as { readonly type: 'reply'; readonly value: number },
  },
  guards: {
    isCovered: ({ context, event }) => event.amount <= context.balance,
  },
  actions: {
    add: assign(({ context, event }) => ({ balance: context.balance + event.amount })),
    take: assign(({ context, event }) => ({ balance: context.balance - event.amount })),
    sayBalance: emit(({ context }) => ({ type: 'reply', value: context.balance })),
  },
}).createMachine({
  id: 'account',
  context: { balance: 0 },
  initial: 'open',
  states: {
    open: {
      on: {
        deposit: { actions: ['add', 'sayBalance'] },
        withdraw: { guard: 'isCovered', actions: ['take', 'sayBalance'] },
      },
    },
  },
});

/** An account begins with its first event. */
export const account = defineActor({ kind: 'account', machine, startOnFirstEvent: () => undefined });

/** All accounts, decided by one replica at a time. */
export const bank = actorShard({ shard: 'bank', kinds: [account] });
