import { expect, it } from 'vitest';
import { assign, setup } from 'xstate';
import { actorShard, defineActor } from '../actor-shard.ts';
import type { Command, OwnedShard, RecordKind, ShardDefinition, Turn } from '../contract.ts';
import { account, ask, bank, TestCluster } from '../test-cluster.ts';

const deposit = { type: 'deposit', amount: 1 } as const;
const notes: RecordKind<{ readonly text: string }> = { kind: 'note', parse: (value) => value as { text: string }, retain: 3 };

const timers: RecordKind = { kind: '_timers', parse: (value) => value };

/** A shard whose commands are functions of the test. */
function scripted(opened: (shard: OwnedShard, turn: Turn) => void = () => undefined, mailboxMax = 100): ShardDefinition {
  return {
    shard: 'script',
    kinds: [notes, account],
    open: (shard, turn) => {
      opened(shard, turn);
      return {
        mailboxMax,
        command: (during, command) => (command.body as (turn: Turn, command: Command, shard: OwnedShard) => void)(during, command, shard),
        effect: () => undefined,
        quarantined: () => undefined,
        close: () => undefined,
      };
    },
  };
}

async function startScript(opened?: (shard: OwnedShard, turn: Turn) => void, mailboxMax?: number) {
  const cluster = new TestCluster();
  const a = await cluster.start('a', [scripted(opened, mailboxMax)]);
  await cluster.clock.runUntil(() => a.runtime.isOwned('script'));
  const run = (step: (turn: Turn, command: Command, shard: OwnedShard) => void, timeoutMs = 5_000) =>
    a.runtime.ask('script', step, { timeoutMs }).then(({ value }) => value);
  return { cluster, clock: cluster.clock, a, run };
}

it('undoes a turn that throws, and tells its caller', async () => {
  const { clock, a, run } = await startScript();
  await clock.resolve(
    run((turn, command) => {
      turn.put(notes, 'one', { text: 'kept' });
      turn.create(account, 'ada', {});
      turn.answer(command, 'done');
    }),
  );
  const failed = run((turn) => {
    turn.put(notes, 'one', { text: 'lost' });
    turn.put(notes, 'two', { text: 'lost' });
    turn.send(account, 'ada', deposit);
    throw new Error('defect');
  });
  await expect(clock.resolve(failed)).rejects.toMatchObject({ code: 'internal' });
  const seen = await clock.resolve(
    run((turn, command) => {
      turn.answer(command, [turn.get(notes, 'one'), turn.get(notes, 'two'), turn.get(account, 'ada')?.context, turn.count(notes)]);
    }),
  );
  expect(seen).toEqual([{ text: 'kept' }, undefined, { balance: 0 }, 1]);
  expect(a.runtime.shadow('script')?.count(notes)).toBe(1);
});

it('writes what may wait with the next record, and at once where it answers', async () => {
  const { clock, a, run } = await startScript();
  const texts = (): unknown[] => [...(a.runtime.shadow('script')?.list(notes) ?? [])].map(({ value }) => value.text);
  let shard: OwnedShard | undefined;
  await clock.resolve(
    run((turn, command, owned) => {
      shard = owned;
      turn.mayWait(1_000);
      turn.put(notes, 'one', { text: 'answered' });
      turn.answer(command, null);
    }),
  );
  expect(texts()).toEqual(['answered']);
  shard?.turn((turn) => {
    turn.mayWait(1_000);
    turn.put(notes, 'two', { text: 'noted' });
  });
  await clock.run(900);
  expect(texts()).toEqual(['answered']);
  // Decided all the same: a later turn sees it, and its record carries both.
  const seen = await clock.resolve(
    run((turn, command) => {
      turn.put(notes, 'three', { text: 'next' });
      turn.answer(command, turn.get(notes, 'two')?.text);
    }),
  );
  expect(seen).toBe('noted');
  expect(texts()).toEqual(['answered', 'noted', 'next']);
});

it('runs a turn that is asked for inside another after it', async () => {
  const { clock, run } = await startScript();
  const order: string[] = [];
  await clock.resolve(
    run((turn, command, shard) => {
      shard.turn(() => order.push('inner'));
      order.push('outer');
      turn.answer(command, null);
    }),
  );
  expect(order).toEqual(['outer', 'inner']);
});

it('lets nobody use a turn that is over', async () => {
  const { clock, run } = await startScript();
  let kept: Turn | undefined;
  await clock.resolve(
    run((turn, command) => {
      kept = turn;
      turn.answer(command, null);
    }),
  );
  expect(() => kept?.put(notes, 'one', { text: 'late' })).toThrow('over');
});

it('answers at once what states nothing, and all else after an append', async () => {
  const { clock, a, run } = await startScript();
  a.journal.choose = () => ({ kind: 'delay', delayMs: 500 });
  const startedAtMs = clock.monotonicMs();
  await clock.resolve(run((turn, command) => turn.answerAtOnce(command, null)));
  expect(clock.monotonicMs()).toBe(startedAtMs);
  await clock.resolve(run((turn, command) => turn.answer(command, null)));
  expect(clock.monotonicMs() - startedAtMs).toBeGreaterThanOrEqual(1_000);
});

it('runs effects and afterCommit when the record is acknowledged, with its position', async () => {
  const { clock, run, cluster } = await startScript();
  const seen: unknown[] = [];
  await clock.resolve(
    run((turn, command, shard) => {
      turn.put(notes, 'one', { text: '' });
      turn.afterCommit(({ seq, epoch }) => seen.push(seq, epoch, shard.committedSeq));
      turn.answer(command, null);
      seen.push(cluster.server.last('script')?.seq);
    }),
  );
  expect(seen).toEqual([1, 2, 1, 2]);
});

it('starts a task of a turn when what the turn decided, or saw, is durable', async () => {
  const { clock, a, run } = await startScript();
  const started: [string, number][] = [];
  const start = (shard: OwnedShard, name: string) =>
    shard.task({
      name,
      retry: { attemptsMax: 1, firstDelayMs: 1, delayMaxMs: 1 },
      run: async () => void started.push([name, shard.committedSeq]),
      done: () => undefined,
      failed: () => undefined,
    });
  await clock.resolve(
    run((turn, command, shard) => {
      start(shard, 'idle');
      turn.answerAtOnce(command, null);
    }),
  );
  expect(started).toEqual([['idle', 1]]);
  a.journal.inject({ kind: 'delay', delayMs: 100 });
  const decided = run((turn, command, shard) => {
    turn.put(notes, 'one', { text: '' });
    start(shard, 'decided');
    turn.answer(command, null);
  });
  const seen = run((turn, command, shard) => {
    if (turn.get(notes, 'one') !== undefined) start(shard, 'seen');
    turn.answer(command, null);
  });
  await clock.run(150);
  expect(started).toHaveLength(1);
  await clock.resolve(Promise.all([decided, seen]));
  expect(started.slice(1)).toEqual([
    ['decided', 2],
    ['seen', 2],
  ]);
});

it('answers for an earlier commit without waiting for what others have pending, unless its loop stood still', async () => {
  const { clock, a, run } = await startScript();
  const answerLater = (whenAnswered: () => void) =>
    run((turn, command, shard) => {
      turn.put(notes, 'one', { text: '' });
      turn.afterCommit((commit) => {
        shard.setTimer('yes', 100, 'internal', (later) => {
          later.put(notes, 'two', { text: '' });
          later.answerSince(command, null, commit);
          whenAnswered();
        });
      });
    });
  let decidedAtMs = 0;
  const quick = answerLater(() => {
    decidedAtMs = clock.monotonicMs();
  });
  await clock.resolve(quick);
  expect(clock.monotonicMs()).toBe(decidedAtMs);

  const late = answerLater(() => {
    decidedAtMs = clock.monotonicMs();
  });
  await clock.run(50);
  a.pauseFor(2_000);
  await clock.resolve(late);
  expect(clock.monotonicMs()).toBeGreaterThan(decidedAtMs);
});

it('keeps of a retained kind the newest, the same on the owner, on those that follow, and after a takeover', async () => {
  const { cluster, clock, a, run } = await startScript();
  const unaware = await cluster.start('unaware', []);
  for (const id of ['1', '2', '3', '4', '5']) {
    await clock.resolve(
      run((turn, command) => {
        turn.put(notes, id, { text: id });
        if (id === '4') turn.delete(notes, '3');
        turn.answer(command, null);
      }),
    );
  }
  const live = (await clock.resolve(
    run((turn, command) =>
      turn.answer(
        command,
        [...turn.list(notes)].map(([id]) => id),
      ),
    ),
  )) as string[];
  await clock.run(100);
  const ids = (of: typeof a) => [...(of.runtime.shadow('script')?.list(notes) ?? [])].map(({ id }) => id);
  expect(live).toEqual(['2', '4', '5']);
  expect(ids(a)).toEqual(live);
  expect(ids(unaware)).toEqual(live);
});

it('refuses beyond the bound of the mailbox, with a hint, and drops what is past its deadline', async () => {
  const { clock, a, run } = await startScript(undefined, 5);
  a.journal.inject({ kind: 'lost' });
  const stuck = run((turn, command) => turn.answer(command, 'stuck'), 30_000);
  await clock.runUntil(() => a.runtime.isFrozen('script'));
  const outcomes: string[] = [];
  const send = (timeoutMs: number) =>
    run((turn, command) => turn.answer(command, 'answered'), timeoutMs).then(
      (value) => outcomes.push(String(value)),
      (error: { readonly code: string }) => outcomes.push(error.code),
    );
  a.journal.choose = () => ({ kind: 'not-stored', reason: 'no-responders' });
  const waiting = [send(1), send(10_000), send(10_000), send(10_000), send(10_000)];
  await clock.run(300);
  expect(outcomes).toEqual(['timeout']);
  waiting.push(send(10_000), send(10_000));
  await clock.run(1);
  expect(outcomes).toEqual(['timeout', 'overloaded']);
  a.journal.choose = () => undefined;
  await clock.resolve(Promise.all([stuck, ...waiting]));
  expect(outcomes.slice(2)).toEqual(Array.from({ length: 5 }, () => 'answered'));
  expect(a.metrics.value('muster_mailbox_refused_total')).toBe(2);
});

it('restarts an actor that throws from its record, quarantines it at the second time, and goes on with the others', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  await ask(a, cluster.clock, 'ada', deposit);
  expect(await ask(a, cluster.clock, 'ada', { type: 'break' })).toMatchObject({ isAccepted: false });
  expect(await ask(a, cluster.clock, 'ada', deposit)).toMatchObject({ ok: false, error: { code: 'internal' } });
  expect(await ask(a, cluster.clock, 'bob', deposit)).toMatchObject({ reply: 1 });
  expect(a.metrics.value('muster_actors_quarantined_total')).toBe(1);
  expect(a.runtime.shadow('bank')?.get(account, 'ada')?.value.context).toEqual({ balance: 1 });
});

it('gives an actor that throws once its event again', async () => {
  let throws = 1;
  const flaky = defineActor({
    kind: 'flaky',
    startOnFirstEvent: () => undefined,
    machine: setup({
      actions: {
        count: assign(({ context }) => {
          if (throws-- > 0) throw new Error('once');
          return { count: (context as { count: number }).count + 1 };
        }),
      },
    }).createMachine({ context: { count: 0 }, initial: 'on', states: { on: { on: { go: { actions: 'count' } } } } }),
  });
  const cluster = new TestCluster();
  const a = await cluster.start('a', [actorShard({ shard: 'bank', kinds: [flaky] })]);
  const asked = a.runtime.ask('bank', { to: 'flaky/x', event: { type: 'go' } }, { timeoutMs: 5_000 });
  expect((await cluster.clock.resolve(asked)).value).toMatchObject({ isAccepted: true });
  expect(a.runtime.shadow('bank')?.get(flaky, 'x')?.value.context).toEqual({ count: 1 });
});

it('starts an actor again that throws once when it begins', async () => {
  let throws = 1;
  const shy = defineActor({
    kind: 'shy',
    startOnFirstEvent: () => undefined,
    machine: setup({}).createMachine({
      context: () => {
        if (throws-- > 0) throw new Error('once');
        return { isHere: true };
      },
      initial: 'on',
      states: { on: { on: { go: 'off' } }, off: {} },
    }),
  });
  const cluster = new TestCluster();
  const a = await cluster.start('a', [actorShard({ shard: 'bank', kinds: [shy] })]);
  const asked = a.runtime.ask('bank', { to: 'shy/x', event: { type: 'go' } }, { timeoutMs: 5_000 });
  expect((await cluster.clock.resolve(asked)).value).toMatchObject({ isAccepted: true, state: 'off' });
});

it('goes on with the timers of actors after a takeover, where the stream says, and clears them with their state', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  await cluster.clock.run(2_000);
  await ask(a, cluster.clock, 'ada', { type: 'freeze', forMs: 20_000 });
  const frozenAtMs = cluster.clock.monotonicMs();
  await ask(a, cluster.clock, 'bob', { type: 'freeze', forMs: 20_000 });
  await ask(a, cluster.clock, 'bob', { type: 'thaw' });
  await cluster.clock.run(10);
  expect([...(b.runtime.shadow('bank')?.list(timers) ?? [])].map(({ id }) => id)).toEqual(['account/ada/thaw']);
  const state = (id: string) => b.runtime.shadow('bank')?.get(account, id)?.value.state;
  await cluster.clock.run(10_000);
  a.kill();
  await cluster.clock.runUntil(() => b.runtime.isOwned('bank'));
  await ask(b, cluster.clock, 'bob', { type: 'freeze', forMs: 60_000 });
  await cluster.clock.runUntil(() => state('ada') === 'open');
  expect(cluster.clock.monotonicMs() - frozenAtMs).toBeGreaterThanOrEqual(19_990);
  expect(cluster.clock.monotonicMs() - frozenAtMs).toBeLessThan(20_100);
  await cluster.clock.run(5_000);
  expect(state('bob')).toBe('frozen');
});

it('watches another shard, from what is there on, and subscribes for as long as the shard is owned', async () => {
  const seen: (number | undefined)[] = [];
  const heard: string[] = [];
  const { cluster, clock, a } = await startScript((shard) => {
    shard.watch('bank', (_, shadow) => seen.push(shadow.get(account, 'ada')?.value.context['balance'] as number));
    shard.subscribe('news', (message) => heard.push(Buffer.from(message.data).toString()));
  });
  const b = await cluster.startBank('b');
  await ask(b, clock, 'ada', deposit);
  await ask(b, clock, 'ada', deposit);
  await clock.run(10);
  expect(seen.at(-1)).toBe(2);
  b.bus.publish('news', Buffer.from('one'));
  await clock.run(10);
  await clock.resolve(a.runtime.stop(1_000));
  b.bus.publish('news', Buffer.from('two'));
  await clock.run(10);
  expect(heard).toEqual(['one']);
});

it('tells the inspector what became durable', async () => {
  const cluster = new TestCluster();
  const seen: string[] = [];
  const a = await cluster.startBank('a', {
    inspect: ({ kind, id, state, record }) => seen.push(`${kind}/${id} ${state} v${record?.version}`),
  });
  await ask(a, cluster.clock, 'ada', deposit);
  await ask(a, cluster.clock, 'ada', { type: 'freeze', forMs: 1_000 });
  await cluster.clock.run(10);
  expect(seen).toEqual(['account/ada open v1', 'account/ada frozen v2']);
});
