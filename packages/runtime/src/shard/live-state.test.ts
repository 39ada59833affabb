import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Store } from '../journal/store.ts';
import { LiveState } from './live-state.ts';

const op = fc.record({
  kind: fc.constantFrom('plain', 'kept'),
  id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
  what: fc.constantFrom('set', 'set', 'set', 'delete'),
});
const turn = fc.record({ ops: fc.array(op, { maxLength: 6 }), isAborted: fc.boolean() });

/** Every kind in order. */
function contentsOf(state: Pick<LiveState, 'list' | 'count'>): unknown {
  return ['plain', 'kept'].map((kind) => [state.count(kind), [...state.list(kind)].map(([id, value]) => [id, value])]);
}

function contentsOfStore(store: Store): unknown {
  return ['plain', 'kept'].map((kind) => [store.count(kind), [...store.records(kind)].map(({ id, value }) => [id, value])]);
}

describe('LiveState', () => {
  it('holds after every turn what followers fold of its changes, in the same order, whatever was aborted (V1, V3)', () => {
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 40 }), (turns) => {
        const retain = { kept: 3 };
        const store = new Store();
        store.setRetain(retain);
        const live = new LiveState(store, retain);
        let n = 0;
        for (const { ops, isAborted } of turns) {
          for (const { kind, id, what } of ops) {
            if (what === 'set') live.set(kind, id, { n: n++ });
            else live.delete(kind, id);
          }
          if (isAborted) live.abort();
          else store.apply(live.commit(), n);
          expect(contentsOf(live)).toEqual(contentsOfStore(store));
        }
        // One that takes over at the end begins with the same.
        expect(contentsOf(new LiveState(store, retain))).toEqual(contentsOf(live));
      }),
    );
  });

  it('shows within a turn what the turn has changed, in the order in which it will be (V1)', () => {
    const live = new LiveState(new Store(), {});
    for (const id of ['a', 'b', 'c']) live.set('k', id, { id });
    live.commit();
    live.set('k', 'b', { id: 'changed' });
    live.delete('k', 'a');
    live.set('k', 'd', { id: 'd' });
    live.set('k', 'a', { id: 'again' });
    const during = [...live.list('k')];
    expect(during).toEqual([
      ['b', { id: 'changed' }],
      ['c', { id: 'c' }],
      ['d', { id: 'd' }],
      ['a', { id: 'again' }],
    ]);
    expect([live.count('k'), live.get('k', 'a')]).toEqual([4, { id: 'again' }]);
    live.commit();
    expect([...live.list('k')]).toEqual(during);
  });

  it('does not move under an iteration that changes it (V2)', () => {
    const live = new LiveState(new Store(), {});
    for (const id of ['a', 'b', 'c']) live.set('k', id, { id });
    live.commit();
    const seen: string[] = [];
    for (const [id] of live.list('k')) {
      seen.push(id);
      live.delete('k', id);
      live.set('k', `${id}2`, { id });
      live.set('k', 'c', { id: 'changed' });
    }
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('writes one change for a record that a turn changes twice', () => {
    const live = new LiveState(new Store(), {});
    live.set('k', 'a', { n: 1 });
    live.set('k', 'a', { n: 2 });
    expect(live.commit()).toEqual([['k', 'a', { n: 2 }]]);
  });

  it('takes nothing for a record that is no object', () => {
    const live = new LiveState(new Store(), {});
    expect(() => live.set('k', 'a', null)).toThrow('k/a');
    expect(() => live.set('k', 'a', undefined)).toThrow('k/a');
  });
});

describe('Store', () => {
  it('counts changes, and keeps since when a state has lasted', () => {
    const store = new Store();
    store.apply([['k', 'a', { state: 'on', n: 1 }]], 10);
    store.apply([['k', 'a', { state: 'on', n: 2 }]], 20);
    expect(store.get('k', 'a')).toMatchObject({ version: 2, changedAtMs: 20, stateSinceMs: 10 });
    store.apply([['k', 'a', { state: { on: 'deep' }, n: 2 }]], 30);
    store.apply([['k', 'a', { state: { on: 'deep' }, n: 3 }]], 40);
    expect(store.get('k', 'a')).toMatchObject({ version: 4, changedAtMs: 40, stateSinceMs: 30 });
  });

  it('retains the newest also where records come and go for long', () => {
    const store = new Store();
    store.setRetain({ k: 5 });
    for (let n = 0; n < 1_000; n++) {
      store.apply([['k', `${n}`, { n }]], n);
      if (n % 3 === 0) store.apply([['k', `${n}`, null]], n);
    }
    expect([...store.records('k')].map(({ id }) => id)).toEqual(['994', '995', '997', '998']);
  });
});
