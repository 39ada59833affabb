// What is no demand, and whose demand it is (DESIGN 6.2 and 7.1).
import { eventually } from '@muster/testkit';
import { expect, it } from 'vitest';
import { SLOW, startCluster } from './support/cluster.ts';

it('an org at its cap gets org-cap at once, and no worker is started for what it wants beyond it', async () => {
  const pool = { driver: 'simulated', floor: 2, worker: { memory: '1MiB' } };
  await using cluster = await startCluster({ pools: { small: pool }, orgs: { acme: { max: 3 } } });
  await cluster.warm('small', 2);
  // Three may be had of two that are warm: one of them waits for a third worker, and that is all that may be started.
  const requests = Array.from({ length: 20 }, (_, n) =>
    cluster.reserve('small', { org: 'acme', requestId: `acme-${n}`, waitMs: 60_000, ttlMs: 600_000 }),
  );
  const answers = await Promise.all(requests);
  const granted = answers.flatMap((answer) => (answer.ok ? [answer.reservation] : []));
  expect(new Set(granted.map(({ slot }) => slot)).size).toBe(3);
  expect(granted.length).toBe(3);
  const missed = answers.filter((answer) => !answer.ok);
  expect(missed.length).toBe(17);
  for (const answer of missed) expect(answer).toMatchObject({ ok: false, miss: { reason: 'org-cap' } });

  // Two of the floor, one waiter, and two again for the floor: the 17 are in none of the decisions.
  await eventually(
    async () => expect(await cluster.pool('small')).toMatchObject({ warm: 2, reserved: 3, spawning: 0, waiting: 0, refused: 0 }),
    SLOW,
  );
  const { intents } = await cluster.admin({ type: 'intents', pool: 'small' });
  expect(intents.reduce((sum, { slots }) => sum + (slots['small'] ?? 0), 0)).toBe(5);
  for (const { inputs } of intents) {
    const { waiting, refused } = (inputs as Record<string, { waiting: number; refused: number }>)['small'] ?? {};
    expect(waiting).toBeLessThanOrEqual(1);
    expect(refused).toBe(0);
  }

  // A place comes free: the next one gets it, and another org was never held up.
  const [first] = granted;
  if (first === undefined) throw new Error('nothing was granted');
  expect(await cluster.settle('release', first)).toMatchObject({ ok: true });
  expect(await cluster.reserve('small', { org: 'acme', requestId: 'acme-again' })).toMatchObject({ ok: true, source: 'parked' });
  expect(await cluster.reserve('small', { org: 'acme', requestId: 'acme-beyond' })).toMatchObject({
    ok: false,
    miss: { reason: 'org-cap' },
  });
  expect(await cluster.reserve('small', { org: 'other', requestId: 'other' })).toMatchObject({ ok: true });
});

it('a miss in one pool starts no worker of another', async () => {
  const worker = { memory: '1MiB' };
  await using cluster = await startCluster({
    pools: {
      busy: { driver: 'simulated', floor: 0, worker },
      quiet: { driver: 'simulated', floor: 1, worker },
      idle: { driver: 'simulated', floor: 0, worker },
    },
  });
  await cluster.warm('quiet', 1);
  const asked = Array.from({ length: 10 }, (_, n) =>
    cluster.reserve('busy', { org: `org-${n}`, requestId: `busy-${n}`, waitMs: 60_000, ttlMs: 600_000 }),
  );
  for (const answer of await Promise.all(asked)) expect(answer).toMatchObject({ ok: true });
  await eventually(async () => expect(await cluster.pool('busy')).toMatchObject({ reserved: 10, spawning: 0, warm: 0 }), SLOW);
  expect((await cluster.slots('busy')).length).toBe(10);
  const { intents } = await cluster.admin({ type: 'intents' });
  expect(intents.filter(({ pool }) => pool === 'quiet').map(({ slots }) => slots)).toEqual([{ quiet: 1 }]);
  expect(intents.filter(({ pool }) => pool === 'idle')).toEqual([]);
  expect(intents.every(({ pool, slots }) => Object.keys(slots).join() === pool)).toBe(true);
  expect((await cluster.slotsIn('quiet', ['warm'])).map(({ pool }) => pool)).toEqual(['quiet']);
  expect(await cluster.slots('idle')).toEqual([]);
});
