import type { WorkerAnswer, WorkerCommand } from '@muster/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialJudgeState, type JudgeState, judgeCommand, settleCommand, type Verdict } from './command-judge.ts';

type Command = Exclude<WorkerCommand, { type: 'status' }>;
const SLOT = 'duckdb-a1';
const INSTANCE = 'i1';
const OK: WorkerAnswer = { ok: true };

function command(type: Command['type'], epoch: number, fields: { org?: string; reservation?: string; instance?: string } = {}): Command {
  const base = { slot: SLOT, instance: fields.instance ?? INSTANCE, epoch, reservation: fields.reservation ?? `${SLOT}_${epoch}` };
  switch (type) {
    case 'activate':
      return { type, ...base, org: fields.org ?? 'acme', pool: 'duckdb', token: 't', activation: {} };
    case 'drain':
      return { type, ...base, graceMs: 1_000 };
    default:
      return { type, ...base };
  }
}

/** Judges, does what it says with `outcome`, settles: as a worker would. */
function step(state: JudgeState, given: Command, outcome: WorkerAnswer = OK) {
  const { state: judged, verdict } = judgeCommand(state, given);
  if (verdict.kind === 'run') return { state: settleCommand(judged, verdict.command, outcome), verdict, answer: outcome };
  return { state: judged, verdict, answer: verdict.kind === 'answer' ? verdict.answer : OK };
}

function after(...commands: readonly (Command | readonly [Command, WorkerAnswer])[]): JudgeState {
  return commands.reduce<JudgeState>(
    (state, entry) => {
      const [given, outcome] = 'type' in entry ? [entry, OK] : entry;
      return step(state, given, outcome).state;
    },
    initialJudgeState(SLOT, INSTANCE),
  );
}

const causeOf = (verdict: Verdict) => (verdict.kind === 'answer' && !verdict.answer.ok ? verdict.answer.cause : verdict.kind);

describe('judgeCommand', () => {
  it('runs the first activation and gives its stored answer to a repeat', () => {
    const stored: WorkerAnswer = { ok: true, endpoint: 'http://w' };
    const state = after([command('activate', 1), stored]);
    expect(state.held).toEqual({ org: 'acme', epoch: 1, reservation: `${SLOT}_1` });
    expect(judgeCommand(state, command('activate', 1)).verdict).toEqual({ kind: 'answer', answer: stored });
  });

  it('gives a stored refusal again', () => {
    const refusal: WorkerAnswer = { ok: false, cause: 'request', message: 'locked' };
    const state = after([command('activate', 1), refusal]);
    expect(state.held).toBeUndefined();
    expect(judgeCommand(state, command('activate', 1)).verdict).toEqual({ kind: 'answer', answer: refusal });
  });

  it('refuses a lower epoch, also one that was only heard in a refusal (J1)', () => {
    const state = after(command('activate', 1), command('release', 1), command('activate', 5, { org: 'other' }));
    expect(causeOf(judgeCommand(state, command('activate', 4)).verdict)).toBe('stale');
  });

  it('refuses another reservation, and another org, of the same epoch (J2)', () => {
    const state = after(command('activate', 1));
    expect(causeOf(judgeCommand(state, command('release', 1, { reservation: 'duckdb-a1_9' })).verdict)).toBe('stale');
    expect(causeOf(judgeCommand(state, command('activate', 1, { org: 'other' })).verdict)).toBe('stale');
  });

  it.each(['release', 'reset'] as const)('refuses an activation after the %s of its epoch, also when it never came before (J3)', (type) => {
    expect(causeOf(judgeCommand(after(command('activate', 1), command(type, 1)), command('activate', 1)).verdict)).toBe('stale');
    expect(causeOf(judgeCommand(after(command(type, 1)), command('activate', 1)).verdict)).toBe('stale');
  });

  it('refuses another org without a reset, and goes on holding what it holds (J4)', () => {
    const { state, verdict } = judgeCommand(after(command('activate', 1)), command('activate', 2, { org: 'other' }));
    expect(causeOf(verdict)).toBe('worker');
    expect(state.held?.org).toBe('acme');
    expect(state.epoch).toBe(2);
  });

  it('takes another org after a reset that succeeded, and not after one that failed (J4)', () => {
    const failed: WorkerAnswer = { ok: false, cause: 'worker', message: 'no' };
    const other = command('activate', 2, { org: 'other' });
    expect(judgeCommand(after(command('activate', 1), command('reset', 1)), other).verdict.kind).toBe('run');
    expect(causeOf(judgeCommand(after(command('activate', 1), [command('reset', 1), failed]), other).verdict)).toBe('worker');
  });

  it('keeps the org of an activation that failed: something of it may be in the process (J4)', () => {
    const state = after([command('activate', 1), { ok: false, cause: 'worker', message: 'half open' }]);
    expect(causeOf(judgeCommand(state, command('activate', 2, { org: 'other' })).verdict)).toBe('worker');
  });

  it('lets the same org come back after a release, and says which reservation an activation supersedes', () => {
    expect(judgeCommand(after(command('activate', 1), command('release', 1)), command('activate', 2)).verdict).toEqual({
      kind: 'run',
      command: 'activate',
      ended: undefined,
    });
    expect(judgeCommand(after(command('activate', 1)), command('activate', 2)).verdict).toMatchObject({ ended: { epoch: 1 } });
  });

  it('ends what is held by a release of a later epoch: the one before was lost on the way', () => {
    expect(judgeCommand(after(command('activate', 1)), command('release', 2))).toMatchObject({
      state: { held: undefined, org: 'acme', isClosed: true },
      verdict: { kind: 'run', command: 'release', ended: { epoch: 1 } },
    });
  });

  it('drains once, by name or, while nothing is held, without one; then takes no activation', () => {
    expect(judgeCommand(after(), command('drain', 0, { reservation: '' })).verdict.kind).toBe('drain');
    expect(judgeCommand(after(command('activate', 1)), command('drain', 1)).verdict.kind).toBe('drain');
    expect(causeOf(judgeCommand(after(command('activate', 1)), command('drain', 1, { reservation: '' })).verdict)).toBe('stale');
    expect(judgeCommand(after(), command('drain', 0)).verdict.kind).toBe('drain');
    const draining = after(command('drain', 0, { reservation: '' }));
    expect(judgeCommand(draining, command('drain', 0, { reservation: '' })).verdict).toEqual({ kind: 'answer', answer: OK });
    expect(causeOf(judgeCommand(draining, command('activate', 1)).verdict)).toBe('worker');
  });
});

describe('any sequence of commands', () => {
  const given = fc.record({
    type: fc.constantFrom('activate', 'activate', 'release', 'reset', 'drain' as const),
    epoch: fc.integer({ min: 0, max: 4 }),
    org: fc.constantFrom('acme', 'other'),
    reservation: fc.constantFrom(undefined, undefined, undefined, 'another', ''),
    instance: fc.constantFrom(INSTANCE, INSTANCE, INSTANCE, 'i2'),
    isOk: fc.boolean(),
  });

  it('keeps J1 to J5', () => {
    fc.assert(
      fc.property(fc.array(given, { maxLength: 30 }), (steps) => {
        let state = initialJudgeState(SLOT, INSTANCE);
        const closed = new Set<number>();
        const reservationOf = new Map<number, string>();
        let dataOf: string | undefined;
        for (const { type, epoch, org, reservation, instance, isOk } of steps) {
          const asked = command(type, epoch, { org, instance, ...(reservation === undefined ? {} : { reservation }) });
          const before = state;
          const outcome: WorkerAnswer = isOk ? OK : { ok: false, cause: 'worker', message: 'no' };
          const { state: next, verdict, answer } = step(before, asked, outcome);
          state = next;
          expect(state.epoch).toBeGreaterThanOrEqual(before.epoch); // J1
          if (instance !== INSTANCE) expect(state).toEqual(before); // J5
          if (verdict.kind !== 'run') continue;
          expect(epoch).toBe(state.epoch); // J1
          expect(reservationOf.get(epoch) || asked.reservation).toBe(asked.reservation); // J2
          reservationOf.set(epoch, asked.reservation);
          if (type === 'activate') {
            expect(closed.has(epoch)).toBe(false); // J3
            expect(dataOf ?? org).toBe(org); // J4
            dataOf = org;
          } else {
            closed.add(epoch);
            if (type === 'reset' && isOk) dataOf = undefined;
          }
          const again = judgeCommand(state, asked).verdict; // J2
          if (!(type === 'activate' && closed.has(epoch))) expect(again).toEqual({ kind: 'answer', answer });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
