import { expect, it } from 'vitest';
import { encodeRecord, encodeRecordWithBody, parseRecord, recordHead, UnknownRecordVersion } from './record.ts';

const head = recordHead({ by: 'me', epoch: 3, op: 'op2', prev: 'op1', type: 'ops' });
const read = (text: string | Uint8Array) => parseRecord({ shard: 's', seq: 7, timeMs: 0, data: Buffer.from(text) }).record;

it('gives back what was written', () => {
  const record = read(encodeRecord(head, '', '["k","a",{"n":1}],["k","b",null]'));
  expect(record).toMatchObject({ by: 'me', epoch: 3, op: 'op2', prev: 'op1', type: 'ops' });
  expect(record.set).toEqual([
    ['k', 'a', { n: 1 }],
    ['k', 'b', null],
  ]);
  expect(read(encodeRecord(head, '', '')).set).toEqual([]);
});

it('finds the body of a snapshot behind its line, whatever bytes it has', () => {
  const start = recordHead({ by: 'me', epoch: 3, op: 'op2', prev: 'op1', type: 'snapshot' });
  const body = Uint8Array.from([10, 123, 0, 255, 10]);
  const extra = ',"replica":"a","retain":{"k":2},"snapshot":{"at":5,"frames":[5],"rest":[[1,[["k","a",{}]]]],"bytes":9}';
  const parsed = parseRecord({ shard: 's', seq: 7, timeMs: 0, data: encodeRecordWithBody(start, extra, [body]) });
  expect([...parsed.body]).toEqual([...body]);
  expect(parsed.record.snapshot?.rest).toHaveLength(1);
  expect(parsed.record.retain).toEqual({ k: 2 });
});

it('names the version that it does not know', () => {
  expect(() => read('{"v":2,"anything":true}')).toThrow(UnknownRecordVersion);
});

it.each([
  ['not JSON', '{"v":1,'],
  ['no object', '7'],
  ['no op', '{"v":1,"by":"a","epoch":1,"prev":"","type":"ops"}'],
  ['no known type', '{"v":1,"by":"a","epoch":1,"op":"o","prev":"","type":"other"}'],
  ['no changes', '{"v":1,"by":"a","epoch":1,"op":"o","prev":"","type":"ops","set":[["k"]]}'],
  ['no owner', '{"v":1,"by":"a","epoch":1,"op":"o","prev":"","type":"epoch"}'],
  ['no snapshot', '{"v":1,"by":"a","epoch":1,"op":"o","prev":"","type":"snapshot","replica":"a","retain":{},"snapshot":{"at":1}}'],
])('refuses a record with %s, and says where it is', (_, text) => {
  expect(() => read(text)).toThrow(
    expect.objectContaining({ code: 'journal-damaged', message: expect.stringContaining('s: the record at 7') }),
  );
});
