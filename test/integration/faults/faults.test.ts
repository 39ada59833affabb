// Everything breaks, one thing after the other, and nobody is wronged (guarantees G1, G3, G4, G5, G6, G7, G8, G10).
import { describe, expect, it } from 'vitest';
import { natsServerBinaries } from '@muster/testkit';
import { tableOf } from './report.ts';
import { runFaults } from './run.ts';

/** Of the binaries, those whose clusters can fence. */
const runs = natsServerBinaries().flatMap((nats) => {
  const collator = new Intl.Collator('en', { numeric: true });
  const canCluster = collator.compare(nats.version, '2.11.0') >= 0;
  return ([1, 3] as const).filter((servers) => servers === 1 || canCluster).map((servers) => ({ nats, servers, version: nats.version }));
});

describe.each(runs)('$servers nats-server(s) $version', ({ nats, servers }) => {
  it('every fault once: no double grant, no cap exceeded, nothing lost, resurrected or leaked, nothing started beyond the need', {
    timeout: 600_000,
  }, async ({ annotate }) => {
    const seed = Math.floor(Math.random() * 1_000_000);
    const said: string[] = [];
    const report = await runFaults({ nats, servers, seed, durationMs: 0, say: (line) => said.push(line) });
    await annotate(tableOf(report));
    expect(report.violations, `${said.join('\n')}\nseed ${seed}`).toEqual([]);
    expect(report.grants).toBeGreaterThan(500);
  });
});
