import { expect, test } from 'vitest';
import { examineNats, type NatsFacts } from './examine-nats.ts';
import { findingsText } from './finding.ts';

const SOUND: NatsFacts['inspection'] = {
  server: { version: '2.15.1', isClustered: false, hasJetStream: true, isEncrypted: false, payloadBytesMax: 1024 * 1024 },
  api: { kind: 'seen', level: 5 },
  journals: { kind: 'seen', differences: [], lagging: [], clockAheadMs: 0.4 },
  otherCluster: undefined,
  rttMs: 0.5,
  refused: [],
};

function examine(changes: Partial<NatsFacts['inspection']>, monitoring: unknown = { jetstream: { config: { sync_always: true } } }) {
  return examineNats({ inspection: { ...SOUND, ...changes }, cluster: 'demo', replicas: 1, role: 'admin', monitoring });
}

test('a sound one has no finding but good ones', () => {
  expect(new Set(examine({}).map(({ level }) => level))).toEqual(new Set(['ok']));
});

test.each([
  ['clock', { journals: { kind: 'seen', differences: [], lagging: [], clockAheadMs: -4_200 } }, '4200 ms behind'],
  ['latency', { rttMs: 48 }, '48 ms'],
  ['copies', { journals: { kind: 'seen', differences: [], lagging: ['n3'], clockAheadMs: 0 } }, 'n3'],
  ['payload', { server: { ...SOUND.server, payloadBytesMax: 65_536 } }, '65536'],
  ['version', { server: { ...SOUND.server, version: '2.8.4' } }, '2.8.4'],
  ['JetStream', { api: { kind: 'unavailable', why: 'timeout' } }, 'timeout'],
  ['journals', { journals: { kind: 'unavailable', why: 'no leader' } }, 'no leader'],
] as const)('%s: what is not as it should be is said with its number, and what to do', (check, changes, said) => {
  const found = examine(changes).filter((one) => one.check === check);
  expect(found).toMatchObject([{ says: expect.stringContaining(said), mend: expect.any(String) }]);
  expect(['warning', 'problem']).toContain(found[0]?.level);
});

test('as text each has a line, what to do one below it, and the end says how many', () => {
  const text = findingsText(examine({ rttMs: 48, server: { ...SOUND.server, hasJetStream: false } }));
  expect(text).toMatch(/^PROBLEM {2}nats JetStream .*\n +→ add jetstream/m);
  expect(text).toMatch(/^warning {2}nats latency/m);
  expect(text).toMatch(/1 problems, 1 warnings$/);
});
