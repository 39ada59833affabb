import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { tempDir } from '@muster/testkit';
import { expect, test } from 'vitest';
import { openTransport, type Transport } from './transport.ts';

/** Of this test alone, for 127.0.0.1 and kubernetes.test; it is its own authority. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXRT4KHrfPHEAiSQk
X1itgI0e6ZI6mk4G7MCcdDZHms+hRANCAASLJPXCwELJglzUpof9ZeQQkPbSrRWJ
VjBC8DU8mvOUl1hMuZR+YPOjiNoHe+A6w4Vvdn8lfpyzYDV2lnZHzSQw
-----END PRIVATE KEY-----`;
const CERT = `-----BEGIN CERTIFICATE-----
MIIBpjCCAUugAwIBAgIUQfBViNoc3HH4oDI2jgIzUQnn9ykwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLbXVzdGVyIHRlc3QwIBcNMjYxMTI1MTEwMzU1WhgPMjEyNjEx
MDExMTAzNTVaMBYxFDASBgNVBAMMC211c3RlciB0ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEiyT1wsBCyYJc1KaH/WXkEJD20q0ViVYwQvA1PJrzlJdYTLmU
fmDzo4jaB3vgOsOFb3Z/JX6cs2A1dpZ2R80kMKN1MHMwHQYDVR0OBBYEFE8Bhj/C
qV/uGP5+Ln8brqcqv+q4MB8GA1UdIwQYMBaAFE8Bhj/CqV/uGP5+Ln8brqcqv+q4
MA8GA1UdEwEB/wQFMAMBAf8wIAYDVR0RBBkwF4cEfwAAAYIPa3ViZXJuZXRlcy50
ZXN0MAoGCCqGSM49BAMCA0kAMEYCIQDMMnVqJ5Nhrci16U6S7mkFyYzP+lA9TJ2Y
r2HTVr6i8gIhAIGT+oSw3gJfFSX6hzhj5YJ/eSfrZzkkFxWZYzrG8CrG
-----END CERTIFICATE-----`;

interface Seen {
  readonly url: string | undefined;
  readonly authorization: string | undefined;
  readonly client: string | undefined;
  readonly port: number | undefined;
}

/** An API server over TLS that answers with what it sees. */
async function serve() {
  const server = createServer({ key: KEY, cert: CERT, ca: CERT, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    const socket = request.socket as TLSSocket;
    const subject = socket.getPeerCertificate().subject as { readonly CN?: string } | undefined;
    const seen: Seen = { url: request.url, authorization: request.headers.authorization, client: subject?.CN, port: socket.remotePort };
    response.end(JSON.stringify(seen));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function open(cluster: object, user: object, context: object = {}) {
  await using folder = await tempDir();
  const kubeconfig = join(folder.path, 'kubeconfig');
  const config = {
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', ...context } }],
    'current-context': 'x',
  };
  await writeFile(kubeconfig, JSON.stringify(config));
  return openTransport({ kubeconfig });
}

async function ask(transport: Transport, path = '/api'): Promise<Seen> {
  const request = await transport.open('GET', path, {});
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return JSON.parse(text) as Seen;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
const CA = { 'certificate-authority-data': base64(CERT) };

test("a server with a certificate of the kubeconfig's authority is asked with the token, over one connection", async () => {
  await using server = await serve();
  const { transport } = await open({ server: server.url, ...CA }, { token: 'secret' });
  const first = await ask(transport);
  expect(first).toMatchObject({ url: '/api', authorization: 'Bearer secret' });
  expect((await ask(transport)).port).toBe(first.port);
  transport.close();
});

test('a server of another authority is not asked', async () => {
  await using server = await serve();
  const { transport } = await open({ server: server.url }, { token: 'secret' });
  await expect(ask(transport)).rejects.toThrow(/self-signed|unable to verify/);
  transport.close();
});

test('nor one whose certificate has another name, unless the kubeconfig says which', async () => {
  await using server = await serve();
  const elsewhere = server.url.replace('127.0.0.1', 'localhost');
  const wrong = await open({ server: elsewhere, ...CA }, {});
  await expect(ask(wrong.transport)).rejects.toThrow(/altnames|localhost/);
  wrong.transport.close();
  const named = await open({ server: elsewhere, 'tls-server-name': 'kubernetes.test', ...CA }, {});
  expect((await ask(named.transport)).url).toBe('/api');
  named.transport.close();
});

test('a client certificate is shown', async () => {
  await using server = await serve();
  const user = { 'client-certificate-data': base64(CERT), 'client-key-data': base64(KEY) };
  const { transport } = await open({ server: server.url, ...CA }, user);
  expect((await ask(transport)).client).toBe('muster test');
  transport.close();
});

test('a server below a path is asked below it', async () => {
  await using server = await serve();
  const { transport } = await open({ server: `${server.url}/k8s/clusters/a/`, ...CA }, {});
  expect((await ask(transport, '/api/v1?limit=1')).url).toBe('/k8s/clusters/a/api/v1?limit=1');
  transport.close();
});

test('the namespace is the one that is named, or that of the context, or default', async () => {
  const cluster = { server: 'https://127.0.0.1:1' };
  expect((await open(cluster, {})).namespace).toBe('default');
  expect((await open(cluster, {}, { namespace: 'workers' })).namespace).toBe('workers');
});

test('a context that is not there is said by its name', async () => {
  await using folder = await tempDir();
  const kubeconfig = join(folder.path, 'kubeconfig');
  await writeFile(kubeconfig, JSON.stringify({ clusters: [], users: [], contexts: [] }));
  await expect(openTransport({ kubeconfig, context: 'nowhere' })).rejects.toThrow('the kubeconfig has no context nowhere');
});
