// The large run (`npm run simulate -- --scale`), small enough for every check.
import { expect, test } from 'vitest';
import { runScale } from './scale.ts';
import { LARGE } from './scale-plan.ts';

const SMALL = {
  ...LARGE,
  replicas: 10,
  slots: 2_000,
  shards: 8,
  orgs: 400,
  cappedOrgs: 200,
  busyMs: 20_000,
  holdMaxMs: 4_000,
  pauseMaxMs: 4_000,
  kills: 2,
};

test('ten replicas with 2,000 slots serve 400 orgs, lose two of them, and break no promise', { timeout: 60_000 }, async () => {
  const result = await runScale(SMALL);
  expect(result.reservations).toBeGreaterThan(1_000);
  expect([...result.misses]).toEqual([]);
  expect(result.outageMs).toBeLessThan(3_000);
  // Once for each record, whatever the number of replicas.
  expect(result.decoded).toBe(result.records);
});
