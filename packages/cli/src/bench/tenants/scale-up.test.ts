import type { IntentSummary } from '@muster/protocol';
import { describe, expect, it } from 'vitest';
import { evaluateScaleUp, type SlotSighting } from './scale-up.ts';

const intent = (n: number, started: number, more: Partial<IntentSummary> = {}): IntentSummary => ({
  n,
  pool: 'duckdb',
  kind: 'demand',
  decidedAtMs: 1_000_000 + n,
  inputs: {},
  slots: { duckdb: started },
  applied: { duckdb: { started, drained: 0, refused: 0, reason: null } },
  ...more,
});
const slot = (of: number, spawningMs: number | undefined, readyMs: number | undefined): SlotSighting => ({
  intent: of,
  spawningMs,
  readyMs,
});
const input = {
  firstMissMs: 100,
  wanted: 3,
  warmBefore: 0,
  intentBefore: 1,
  toMonotonicMs: (wallMs: number) => wallMs - 1_000_000 + 120,
};

describe('evaluateScaleUp', () => {
  it('counts the run’s own decisions, and times them from the first miss', () => {
    const slots = [slot(1, 1, 2), slot(2, 140, 900), slot(2, 145, 500), slot(2, 142, 700)];
    expect(evaluateScaleUp({ ...input, intents: [intent(2, 3), intent(1, 9)], slots })).toEqual({
      intents: 1,
      slotsStarted: 3,
      firstMissToIntentMs: 22,
      firstMissToLastStartMs: 45,
      firstMissToWantedWarmMs: 800,
    });
  });

  it('counts what the shards started, not what they refused, and no shrinking', () => {
    const refused = intent(2, 5, { applied: { duckdb: { started: 3, drained: 0, refused: 2, reason: 'cap' } } });
    const result = evaluateScaleUp({ ...input, intents: [refused, intent(3, 4, { kind: 'down' })], slots: [] });
    expect(result).toMatchObject({ intents: 1, slotsStarted: 3 });
  });

  it('says nothing of the last start where not every one was seen', () => {
    const slots = [slot(2, 140, 900), slot(2, undefined, 500), slot(2, 142, 700)];
    expect(evaluateScaleUp({ ...input, intents: [intent(2, 3)], slots }).firstMissToLastStartMs).toBeNull();
  });

  it('needs the fewer new ones the more were warm before', () => {
    const slots = [slot(2, 140, 900), slot(2, 141, 500)];
    const run = { ...input, intents: [intent(2, 2)], slots };
    expect(evaluateScaleUp({ ...run, warmBefore: 1 }).firstMissToWantedWarmMs).toBe(800);
    expect(evaluateScaleUp({ ...run, warmBefore: 2 }).firstMissToWantedWarmMs).toBe(400);
    expect(evaluateScaleUp({ ...run, warmBefore: 3 }).firstMissToWantedWarmMs).toBe(0);
    expect(evaluateScaleUp({ ...run, warmBefore: 0 }).firstMissToWantedWarmMs).toBeNull();
  });

  it('counts nothing where nothing was missed: what was started fills up', () => {
    expect(evaluateScaleUp({ ...input, firstMissMs: undefined, intents: [intent(2, 4)], slots: [] })).toMatchObject({
      intents: 0,
      slotsStarted: 0,
      firstMissToIntentMs: null,
    });
  });
});
