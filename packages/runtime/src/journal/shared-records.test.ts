import { expect, it } from 'vitest';
import { account, ask, bank, TestCluster } from '../test-cluster.ts';
import { parseRecord, type SetOp } from './record.ts';
import { SharedRecords } from './shared-records.ts';
import { Store } from './store.ts';

it('lets the replicas of one process hold each record once, and nobody can tell', async () => {
  const cluster = new TestCluster();
  const shared = new SharedRecords();
  const a = await cluster.startBank('a', { shared });
  const b = await cluster.start('b', [bank()], { shared });
  const alone = await cluster.start('c', [bank()]);
  await cluster.clock.run(1_000);
  for (let n = 0; n < 3; n += 1) await ask(a, cluster.clock, 'x', { type: 'deposit', amount: 5 });
  await cluster.clock.run(1_000);
  const [one, other, own] = [a, b, alone].map(({ runtime }) => runtime.shadow('bank')?.get(account, 'x'));
  expect(one?.version).toBe(3);
  expect(other).toBe(one);
  expect(own).toEqual(one);
  expect(own).not.toBe(one);
  expect(shared.decoded).toBe(cluster.server.records('bank').length);
});

it('shares a value only on the very same record before it (D1)', () => {
  const shared = new SharedRecords();
  const [one, other, late] = [new Store(shared), new Store(shared), new Store(shared)];
  const first: SetOp = ['k', 'x', { state: 's' }];
  const second: SetOp = ['k', 'x', { state: 's', n: 2 }];
  for (const store of [one, other]) store.apply([first], 10);
  for (const store of [one, other, late]) store.apply([second], 20);
  expect(other.get('k', 'x')).toBe(one.get('k', 'x'));
  expect(one.get('k', 'x')).toMatchObject({ version: 2, stateSinceMs: 10 });
  expect(late.get('k', 'x')).toMatchObject({ version: 1, stateSinceMs: 20 });
});

it('reads what it has forgotten anew', async () => {
  const shared = new SharedRecords();
  const cluster = new TestCluster();
  await cluster.startBank('a');
  const [message] = cluster.server.records('bank');
  if (message === undefined) throw new Error('nothing was stored');
  expect(shared.read(message)).toBe(shared.read(message));
  for (let n = 0; n < 3_000; n += 1) shared.read({ ...message });
  expect(shared.read(message)).toEqual(parseRecord(message));
  expect(shared.decoded).toBe(3_002);
});
