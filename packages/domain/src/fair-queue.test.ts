import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FairQueue } from './fair-queue.ts';

const waiting = (org: string, id: string, sinceMs = 0, weight = 1) => ({ org, id, weight, sinceMs, value: `${org}/${id}` });

test('Q1: a flood of one org does not hold up another', () => {
  const queue = new FairQueue<string>({ max: 1000 });
  for (let n = 0; n < 100; n += 1) queue.add(waiting('flood', `f${n}`));
  queue.add(waiting('acme', 'a'));
  expect([queue.take(), queue.take()]).toContain('acme/a');
});

test('Q1: weights are shares', () => {
  const queue = new FairQueue<string>({ max: 1000 });
  for (let n = 0; n < 100; n += 1) {
    queue.add(waiting('heavy', `h${n}`, 0, 3));
    queue.add(waiting('light', `l${n}`, 0, 1));
    queue.add(waiting('tiny', `t${n}`, 0, 0.5));
  }
  const taken = Array.from({ length: 90 }, () => queue.take() ?? '');
  const of = (org: string) => taken.filter((value) => value.startsWith(org)).length;
  expect(of('heavy')).toBe(60);
  expect(of('light')).toBe(20);
  expect(of('tiny')).toBe(10);
});

test('Q2: within an org, who has waited longest is first, however late it came', () => {
  const queue = new FairQueue<string>({ max: 10 });
  queue.add(waiting('acme', 'late', 500));
  queue.add(waiting('acme', 'early', 100));
  queue.add(waiting('acme', 'middle', 300));
  expect(queue.oldest()).toBe('acme/early');
  expect(queue.newestOf('acme')).toBe('acme/late');
  expect([queue.take(), queue.take(), queue.take(), queue.take()]).toEqual(['acme/early', 'acme/middle', 'acme/late', undefined]);
});

test('Q1: who begins to wait has its turn within two rounds, however many the others add meanwhile', () => {
  const queue = new FairQueue<string>({ max: 10_000 });
  let n = 0;
  const flood = (): void => {
    for (const org of ['a', 'b', 'c']) queue.add(waiting(org, String((n += 1)), n));
  };
  for (let times = 0; times < 50; times += 1) flood();
  queue.take();
  queue.add(waiting('late', 'x', n));
  const taken = Array.from({ length: 7 }, () => {
    flood();
    return queue.take();
  });
  expect(taken).toContain('late/x');
});

test('Q1: leaving and coming back gains nothing', () => {
  const queue = new FairQueue<string>({ max: 1000 });
  for (let n = 0; n < 30; n += 1) queue.add(waiting('patient', `p${n}`));
  queue.add(waiting('restless', 'r0'));
  const taken = Array.from({ length: 20 }, (_, n) => {
    const value = queue.take() ?? '';
    if (value.startsWith('restless')) queue.add(waiting('restless', `r${n + 1}`));
    return value;
  });
  expect(taken.filter((value) => value.startsWith('restless')).length).toBeLessThanOrEqual(10);
});

test('Q4: after a takeover, orgs that want one worker each come in the order of what they have waited', () => {
  const since = fc.uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(since, (all) => {
      const queue = new FairQueue<string>({ max: 1000 });
      for (const sinceMs of all) queue.add({ ...waiting(`org${sinceMs}`, 'x', sinceMs), value: String(sinceMs) });
      const places = all.map((sinceMs) => queue.position(`org${sinceMs}`, 'x'));
      const order = [...all].sort((a, b) => a - b);
      expect(places).toEqual(all.map((sinceMs) => order.indexOf(sinceMs) + 1));
      expect(all.map(() => Number(queue.take()))).toEqual(order);
    }),
  );
});

test('a weight that is no number or none counts as the least there is, and holds nobody up', () => {
  const queue = new FairQueue<string>({ max: 10 });
  for (const [org, weight] of [
    ['nan', Number.NaN],
    ['none', 0],
    ['minus', -1],
    ['one', 1],
  ] as const)
    queue.add(waiting(org, 'x', 0, weight));
  expect(queue.take()).toBe('one/x');
  expect([queue.take(), queue.take(), queue.take(), queue.take()].filter(Boolean)).toHaveLength(3);
});

test('Q3: a full queue takes nobody, and an id waits once', () => {
  const queue = new FairQueue<string>({ max: 2 });
  expect(queue.add(waiting('a', '1'))).toBe(true);
  expect(queue.add(waiting('a', '1'))).toBe(false);
  expect(queue.add(waiting('b', '1'))).toBe(true);
  expect(queue.add(waiting('c', '1'))).toBe(false);
  expect(queue.size).toBe(2);
});

test('whatever is added, removed and taken: sizes agree, and everybody comes out exactly once', () => {
  const org = fc.constantFrom('a', 'b', 'c');
  const id = fc.integer({ min: 0, max: 20 }).map(String);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), org, id, sinceMs: fc.nat(100), weight: fc.constantFrom(0.2, 1, 2.5) }),
    fc.record({ kind: fc.constant('remove' as const), org, id }),
    fc.record({ kind: fc.constant('take' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new FairQueue<string>({ max: 30 });
      const inside = new Set<string>();
      for (const one of steps) {
        if (one.kind === 'add') {
          const value = `${one.org}/${one.id}`;
          const isNew = queue.add({ ...one, value });
          expect(isNew).toBe(inside.size < 30 && !inside.has(value));
          if (isNew) inside.add(value);
        } else {
          const value = one.kind === 'take' ? queue.take() : queue.remove(one.org, one.id);
          if (value !== undefined) expect(inside.delete(value)).toBe(true);
          else if (one.kind === 'take') expect(inside.size).toBe(0);
        }
        expect(queue.size).toBe(inside.size);
        for (const value of inside) {
          const [own = '', name = ''] = value.split('/');
          expect(queue.get(own, name)).toBe(value);
          expect(queue.position(own, name)).toBeGreaterThan(0);
          expect(queue.position(own, name)).toBeLessThanOrEqual(queue.size);
        }
      }
    }),
  );
});
