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
