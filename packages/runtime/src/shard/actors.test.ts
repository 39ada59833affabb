import { expect, it } from 'vitest';
import { assign, emit, setup } from 'xstate';
import type { ActorRecord } from '../contract.ts';
import { Actors, isSameState } from './actors.ts';

const kind = {
  kind: 'lamp',
  machine: setup({}).createMachine({
    context: { switched: 0 },
    initial: 'off',
    states: {
      off: {
        on: {
          switch: { target: 'on', actions: assign(({ context }) => ({ switched: (context as { switched: number }).switched + 1 })) },
          look: { actions: emit(() => ({ type: 'reply', value: 'dark' })) },
          touch: { actions: () => undefined },
          paint: { guard: () => false, actions: () => undefined },
        },
      },
      on: { entry: emit({ type: 'shine' }), on: { smash: 'broken' } },
      broken: { type: 'final' },
    },
  }),
};
const off: ActorRecord = { state: 'off', context: { switched: 0 } };

it('says what an event did: nothing, something without a change, or a change', () => {
  const actors = new Actors();
  expect(actors.send(kind, off, { type: 'unknown' })).toEqual({ kind: 'unmoved' });
  expect(actors.send(kind, off, { type: 'paint' })).toEqual({ kind: 'unmoved' });
  expect(actors.send(kind, off, { type: 'touch' })).toMatchObject({ kind: 'moved', isChanged: false, emitted: [] });
  expect(actors.send(kind, off, { type: 'look' })).toMatchObject({ kind: 'moved', isChanged: false, emitted: [{ value: 'dark' }] });
  expect(actors.send(kind, off, { type: 'switch' })).toMatchObject({
    kind: 'moved',
    record: { state: 'on', context: { switched: 1 } },
    emitted: [{ type: 'shine' }],
    isChanged: true,
    isStateChanged: true,
  });
});

it('takes an actor for what its record says (A1)', () => {
  const actors = new Actors();
  actors.send(kind, off, { type: 'switch' });
  // The turn failed: the record is still the old one.
  expect(actors.send(kind, off, { type: 'switch' })).toMatchObject({ record: { context: { switched: 1 } } });
});

it('does nothing with an actor that has come to its end', () => {
  const actors = new Actors();
  const broken: ActorRecord = { state: 'broken', context: { switched: 1 } };
  expect(actors.send(kind, broken, { type: 'switch' })).toEqual({ kind: 'unmoved' });
  const on = actors.send(kind, off, { type: 'switch' });
  const smashed = on.kind === 'moved' ? actors.send(kind, on.record, { type: 'smash' }) : on;
  expect(smashed).toMatchObject({ record: { state: 'broken' } });
});

it('gives an event that threw to the actor again, once, and keeps nothing of what it said before (A2)', () => {
  let failures = 1;
  const shaky = {
    kind: 'shaky',
    machine: setup({}).createMachine({
      context: ({ input }) => ({ size: (input as { size: number }).size }),
      initial: 'up',
      states: {
        up: {
          entry: emit({ type: 'risen' }),
          on: {
            shake: {
              target: 'down',
              actions: [
                emit({ type: 'shaken' }),
                () => {
                  if (failures-- > 0) throw new Error('shaken too hard');
                },
              ],
            },
          },
        },
        down: {},
      },
    }),
  };
  const actors = new Actors();
  const up: ActorRecord = { state: 'up', context: { size: 1 } };
  expect(actors.create(shaky, { size: 1 })).toMatchObject({ kind: 'moved', record: up, emitted: [{ type: 'risen' }] });
  expect(actors.create(shaky, undefined)).toMatchObject({ kind: 'threw', error: expect.any(TypeError) });
  expect(actors.send(shaky, up, { type: 'shake' })).toMatchObject({ record: { state: 'down' }, emitted: [{ type: 'shaken' }] });
  failures = 2;
  expect(actors.send(shaky, up, { type: 'shake' })).toMatchObject({ kind: 'threw', error: { message: 'shaken too hard' } });
});

it('compares state values by what they say', () => {
  expect(isSameState({ a: { b: 'c' }, d: 'e' }, { d: 'e', a: { b: 'c' } })).toBe(true);
  expect(isSameState({ a: 'b' }, { a: 'c' })).toBe(false);
  expect(isSameState('a', { a: 'b' })).toBe(false);
});
