import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSubjectMatch } from './subject.ts';
import { SubjectIndex } from './subject-index.ts';

const token = fc.constantFrom('a', 'b', '*');
const pattern = fc
  .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([tokens, isOpen]) => [...tokens, ...(isOpen ? ['>'] : [])].join('.'));
const subject = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join('.'));

test('it finds what fits, in the order in which it was added, and nothing that was deleted', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(pattern, fc.boolean()), { maxLength: 12 }), subject, (patterns, wanted) => {
      const index = new SubjectIndex<number>();
      for (const [at, [one]] of patterns.entries()) index.add(one, at);
      for (const [at, [one, isKept]] of patterns.entries()) if (!isKept) index.delete(one, at);
      const fit = [...patterns.entries()].filter(([, [one, isKept]]) => isKept && isSubjectMatch(one, wanted));
      expect(index.matches(wanted)).toEqual(fit.map(([at]) => at));
    }),
  );
});

test('a pattern that ends with > fits no subject that ends before it', () => {
  const index = new SubjectIndex<string>();
  index.add('a.>', 'all');
  expect(index.matches('a')).toEqual([]);
  expect(index.matches('a.b.c')).toEqual(['all']);
});
