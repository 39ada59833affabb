import { expect, test } from 'vitest';
import { examineKubernetes } from './examine-kubernetes.ts';

const SOUND = { kind: 'seen', namespace: 'workers', version: 'v1.36.0', hasNamespace: true, missing: [], quotas: [] } as const;

test('a sound one has no finding but good ones', () => {
  expect(examineKubernetes(SOUND).map(({ level }) => level)).toEqual(['ok', 'ok']);
});

test.each([
  [{ ...SOUND, missing: ['create pods', 'delete secrets'] }, 'rights', 'problem', 'may not create pods, delete secrets'],
  [{ ...SOUND, hasNamespace: false }, 'namespace', 'problem', 'no namespace workers'],
  [{ ...SOUND, quotas: [{ quota: 'few', resource: 'pods', hard: '10', used: '9', share: 0.9 }] }, 'quota', 'warning', '9 of 10 pods'],
  [{ ...SOUND, quotas: [{ quota: 'none', resource: 'pods', hard: '0', used: '0', share: 1 }] }, 'quota', 'warning', '0 of 0 pods'],
  [{ ...SOUND, quotas: undefined }, 'quota', 'unknown', 'may not be seen'],
  [{ kind: 'unreachable', why: 'ECONNREFUSED' }, 'connection', 'problem', 'ECONNREFUSED'],
  [{ kind: 'unauthenticated', why: 'Unauthorized' }, 'connection', 'problem', 'does not know who asks'],
  [{ kind: 'unconfigured', why: 'no such file' }, 'connection', 'problem', 'no such file'],
] as const)('%o', (seen, check, level, said) => {
  const found = examineKubernetes(seen).filter((one) => one.check === check);
  expect(found).toMatchObject([{ level, says: expect.stringContaining(said), mend: expect.any(String) }]);
});

test('a quota with room is nothing to speak of', () => {
  const quotas = [{ quota: 'many', resource: 'pods', hard: '100', used: '50', share: 0.5 }];
  expect(examineKubernetes({ ...SOUND, quotas }).filter(({ check }) => check === 'quota')).toEqual([]);
});
