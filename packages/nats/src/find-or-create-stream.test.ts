import { encode } from '@muster/protocol';
import { expect, test } from 'vitest';
import { findOrCreateStream } from './find-or-create-stream.ts';
import { journalSettings } from './stream-settings.ts';

const wanted = journalSettings('MUSTER_demo', ['muster.j.demo.>'], 1);
const found = { config: { name: 'MUSTER_demo' } };
const refused = (err_code: number) => ({ error: { code: 400, err_code, description: 'no' } });
const missing = refused(10059);

/** A server that answers each request with the next of these. */
function server(...answers: object[]) {
  const asked: string[] = [];
  const exchange = (subject: string) => {
    asked.push(subject.split('.')[3] ?? '');
    return Promise.resolve({ kind: 'answer', message: { data: encode(answers.shift()) } });
  };
  return { asked, link: { exchange } as unknown as Parameters<typeof findOrCreateStream>[0] };
}

test.each([10058, 10065])('takes the stream of whoever made it at the same moment, however the server says so (%i)', async (errCode) => {
  const { asked, link } = server(missing, refused(errCode), found);
  expect(await findOrCreateStream(link, wanted)).toEqual(found);
  expect(asked).toEqual(['INFO', 'CREATE', 'INFO']);
});

test('says so where another stream has the subjects', async () => {
  const { link } = server(missing, refused(10065), missing);
  await expect(findOrCreateStream(link, wanted)).rejects.toMatchObject({ errCode: 10065 });
});

test('asks for nothing where the stream is there', async () => {
  const { asked, link } = server(found);
  expect(await findOrCreateStream(link, wanted)).toEqual(found);
  expect(asked).toEqual(['INFO']);
});
