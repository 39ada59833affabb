import { expect, it } from 'vitest';
import { ask, bank, TestCluster } from './test-cluster.ts';

it('answers from any replica, and executes a request id once, also after its owner was killed', async () => {
  const cluster = new TestCluster();
  const a = await cluster.startBank('a');
  const b = await cluster.start('b', [bank()]);
  expect(await ask(a, cluster.clock, 'ada', { type: 'deposit', amount: 5 })).toMatchObject({ ok: true, isAccepted: true, reply: 5 });
  expect(await ask(b, cluster.clock, 'ada', { type: 'withdraw', amount: 3 }, 'r1')).toMatchObject({ ok: true, reply: 2 });
  expect(await ask(b, cluster.clock, 'ada', { type: 'withdraw', amount: 3 })).toMatchObject({ ok: true, isAccepted: false });
  a.kill();
  expect(await ask(b, cluster.clock, 'ada', { type: 'withdraw', amount: 3 }, 'r1')).toMatchObject({ ok: true, reply: 2 });
  expect(await ask(b, cluster.clock, 'ada', { type: 'withdraw', amount: 2 })).toMatchObject({ ok: true, reply: 0 });
});
