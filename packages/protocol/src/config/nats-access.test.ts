import { expect, test } from 'vitest';
import { natsAccessOf, natsTlsFrom } from './nats-access.ts';

test('credentials are given as they are or by a file, those as they are first; nothing is nothing', () => {
  expect(natsAccessOf({ MUSTER_NATS_CREDS: '', MUSTER_NATS_CREDS_FILE: '' })).toEqual({});
  expect(natsAccessOf({ MUSTER_NATS_CREDS_FILE: 'a.creds' })).toEqual({ credentials: { kind: 'file', path: 'a.creds' } });
  expect(natsAccessOf({ MUSTER_NATS_CREDS: 'text', MUSTER_NATS_CREDS_FILE: 'a.creds' }).credentials).toEqual({
    kind: 'creds',
    contents: 'text',
  });
  expect(natsAccessOf({ MUSTER_NATS_INBOX_PREFIX: '_INBOX_me' })).toEqual({ inboxPrefix: '_INBOX_me' });
});

test('the environment goes before the configuration, file by file', () => {
  const file = natsTlsFrom({ caFile: 'ca.pem', certFile: 'c.pem', keyFile: 'k.pem' }, (path) => `/etc/${path}`);
  expect(natsAccessOf({}, file)).toEqual({ tls: { caFile: '/etc/ca.pem', certFile: '/etc/c.pem', keyFile: '/etc/k.pem' } });
  expect(natsAccessOf({ MUSTER_NATS_CA_FILE: '/other.pem' }, file).tls).toEqual({ ...file, caFile: '/other.pem' });
});

test('a certificate without its key is refused, and so is a key without its certificate', () => {
  expect(() => natsAccessOf({ MUSTER_NATS_CERT_FILE: 'c.pem' })).toThrow(/MUSTER_NATS_KEY_FILE/);
  expect(() => natsAccessOf({ MUSTER_NATS_KEY_FILE: 'k.pem' })).toThrow(/MUSTER_NATS_CERT_FILE/);
});
