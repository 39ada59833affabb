// Why it is as it is (`muster explain`, `/v1/explain/...`), from the same numbers that were decided from.
import { subjects } from '@muster/protocol';
import { expect, test } from 'vitest';
import { MemoryCluster } from './memory-cluster.ts';

async function explain(cluster: MemoryCluster, of: string, org?: string): Promise<string> {
  const answer = await cluster.askNow(subjects.admin(), { type: 'explain', of, ...(org === undefined ? {} : { org }) });
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  return (answer['says'] as readonly string[]).join('\n');
}

test('a pool: what it wants, has, may have, and the decision that made it so', async () => {
  const cluster = await MemoryCluster.start({
    config: 'pools: { demo: { driver: simulated, floor: 2, max: 3 } }\norgs: { acme: { max: 1 } }',
  });
  await cluster.untilWarm('demo', 2);
  const said = await explain(cluster, 'demo', 'acme');
  expect(said.split('\n')).toEqual([
    'acme has 0 reserved, 0 parked and 0 waiting: its cap is 1',
    '2 wanted: floor 2, 0 waiting, 0 refused and expected again',
    '2 there for them: 2 warm, 0 spawning; beside them 0 reserved, 0 parked, 0 draining',
    'nothing is missing',
    '2 live of 3 at the most (its max): room for 1',
    expect.stringMatching(
      /^intent 1 \(demand\), [\d.]+ s ago: start 2, applied; from demo: floor 2, 0 waiting, 0 refused, 0 warm, 0 spawning, 0 ordered$/,
    ),
  ]);
  await cluster.reserveNow('demo', { org: 'acme' });
  await cluster.clock.runUntil(() => cluster.pool('demo').reserved === 1);
  expect(await explain(cluster, 'demo', 'acme')).toContain('that is its cap of 1: more is refused (org-cap)');
});

test('what drains is no longer its org’s, and no reservation', async () => {
  const cluster = await MemoryCluster.start({ config: 'pools: { demo: { driver: simulated, floor: 1, recycle: single-use } }' });
  await cluster.untilWarm('demo', 1);
  const granted = await cluster.reserveNow('demo', { org: 'acme' });
  if (!granted.ok) throw new Error(JSON.stringify(granted));
  const { id, slot, epoch } = granted.reservation;
  const reservations = () => cluster.any.pools.view.reservations({ page: 0 }).reservations;
  await cluster.clock.runUntil(() => reservations().some(({ state }) => state === 'active'));
  expect(reservations()).toMatchObject([{ id, slot, org: 'acme', epoch }]);
  expect(await explain(cluster, 'demo', 'acme')).toContain('acme has 1 reserved, 0 parked and 0 waiting: it has no cap');
  await cluster.askNow(subjects.release(), { id, epoch });
  await cluster.clock.runUntil(() => cluster.slots().some((one) => one.slot === slot && one.state === 'draining'));
  expect(reservations()).toEqual([]);
  expect(await explain(cluster, 'demo', 'acme')).toContain('acme has 0 reserved, 0 parked and 0 waiting: it has no cap');
});

test('a pool that does not scale says what stands against it', async () => {
  const cluster = await MemoryCluster.start({ config: 'pools: { demo: { driver: simulated, floor: 1 } }' });
  await cluster.untilWarm('demo', 1);
  for (const type of ['hold', 'pause']) await cluster.askNow(subjects.admin(), { type, pool: 'demo' });
  await cluster.clock.runUntil(() => cluster.pool('demo').isHeld && cluster.pool('demo').isPaused);
  const said = await explain(cluster, 'demo');
  expect(said).toContain('it is paused: reserves are refused until muster resume demo');
  expect(said).toMatch(/it is held for [\d.]+ s more: nothing is started or drained/);

  const broken = await MemoryCluster.start({
    config: 'pools: { demo: { driver: simulated, floor: 1, breaker: { failures: 1 } } }',
    handlers: () => {
      throw new Error('no such image');
    },
  });
  await broken.clock.runUntil(() => broken.any.pools.view.pools().pools.some(({ isBreakerOpen }) => isBreakerOpen));
  expect(await explain(broken, 'demo')).toContain('its workers do not come up (no such image): one is tried now and then, nothing else');
});

test('a slot and its reservation: who has it, where it comes from, how it ended, and no secret', async () => {
  const cluster = await MemoryCluster.start({ config: 'pools: { demo: { driver: simulated, floor: 1, recycle: same-org } }' });
  await cluster.untilWarm('demo', 1);
  const granted = await cluster.reserveNow('demo', { org: 'acme', requestId: 'the-request-id' });
  if (!granted.ok) throw new Error(JSON.stringify(granted));
  const { id, slot, epoch, token } = granted.reservation;
  await cluster.clock.runUntil(() => cluster.slots().some((one) => one.slot === slot && one.state === 'reserved.active'));
  for (const of of [slot, id]) {
    const said = await explain(cluster, of);
    expect(said).toMatch(new RegExp(`^${slot} is reserved.active for `));
    expect(said).toContain('made by intent 1 (demand)');
    expect(said).toContain(`acme has it: reservation ${id}, granted from warm, with a lease of 60 s`);
    expect(said).not.toContain('the-request-id');
    expect(said).not.toContain(token);
  }
  await cluster.askNow(subjects.release(), { id, epoch });
  await cluster.clock.runUntil(() => cluster.slots().some((one) => one.slot === slot && one.state === 'reserved.parked'));
  const said = await explain(cluster, id);
  expect(said).toContain(`reservation ${id} is over`);
  expect(said).toContain('kept for acme, which may have it back');
  expect(said).toContain('its reservation of epoch 1 ended: released');
});

test('what is not there is not explained', async () => {
  const cluster = await MemoryCluster.start({ config: 'pools: { demo: { driver: simulated, floor: 0 } }' });
  await cluster.clock.runUntil(() => cluster.any.pools.view.config !== undefined);
  for (const of of ['nowhere', 'demo-x', 'demo-x_1', 'constructor']) {
    expect(await cluster.askNow(subjects.admin(), { type: 'explain', of })).toMatchObject({
      ok: false,
      error: { code: 'not-found', field: 'of' },
    });
  }
});
