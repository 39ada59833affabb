import { encode } from '@muster/protocol';
import type { NatsConnection } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { Outbox } from './outbox.ts';

function makeOutbox(refused = '') {
  const published: string[] = [];
  const failed: string[] = [];
  const publish = (subject: string): void => {
    if (subject === refused) throw new Error('the client would not');
    published.push(subject);
  };
  const outbox = new Outbox({ publish } as unknown as NatsConnection, (subject) => failed.push(subject));
  return { outbox, published, failed };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

it('gathers what one turn of the event loop sends, microtasks included, in its order (B1, B2)', async () => {
  const { outbox, published } = makeOutbox();
  outbox.send('a', encode(1));
  await Promise.resolve();
  outbox.send('b', encode(2));
  expect(published).toEqual([]);
  await turn();
  expect(published).toEqual(['a', 'b']);
  outbox.send('c', encode(3));
  await turn();
  expect(published).toEqual(['a', 'b', 'c']);
});

it('hands over at once when it is told to, and nothing twice', async () => {
  const { outbox, published } = makeOutbox();
  outbox.send('a', encode(1));
  outbox.flush();
  expect(published).toEqual(['a']);
  await turn();
  expect(published).toEqual(['a']);
});

it('drops with the link what has not left (B2)', async () => {
  const { outbox, published } = makeOutbox();
  outbox.send('a', encode(1));
  outbox.clear();
  outbox.send('b', encode(2));
  await turn();
  expect(published).toEqual(['b']);
});

it('refuses a subject that is none at once, and reports what the client would not send without losing the rest', async () => {
  const { outbox, published, failed } = makeOutbox('odd');
  for (const subject of ['', 'a b', 'a\tb', 'a\nb']) {
    expect(() => outbox.send(subject, encode(1))).toThrow(expect.objectContaining({ code: 'bad-request' }));
  }
  for (const subject of ['odd', 'even']) outbox.send(subject, encode(1));
  await turn();
  expect(published).toEqual(['even']);
  expect(failed).toEqual(['odd']);
});
