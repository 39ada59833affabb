import { expect, test } from 'vitest';
import { differences, journalSettings } from './stream-settings.ts';

const wanted = journalSettings('MUSTER_demo', ['muster.j.demo.*', 'muster.p.demo.>'], 1);

test('what an operator may choose, and what a server leaves out or adds as off, is no difference', () => {
  const { deny_delete: _, ...found } = wanted;
  const more = {
    description: 'x',
    metadata: { '_nats.level': '1' },
    compression: 's2',
    mirror_direct: false,
    sources: [],
    republish: null,
  };
  expect(differences(wanted, { ...found, ...more, subjects: ['muster.p.demo.>', 'muster.j.demo.*'] })).toEqual([]);
});

test.each([
  ['num_replicas', 3],
  ['subjects', ['muster.j.demo.*']],
  ['storage', 'memory'],
  ['discard', 'old'],
  ['max_msgs_per_subject', 64],
  ['allow_rollup_hdrs', false],
  ['deny_purge', true],
  ['sealed', true],
  ['persist_mode', 'async'],
  ['mirror', { name: 'other' }],
])('%s %j is a difference', (setting, value) => {
  expect(differences(wanted, { ...wanted, [setting]: value })).toEqual([{ setting, wanted: wanted[setting] ?? 'off', found: value }]);
});
