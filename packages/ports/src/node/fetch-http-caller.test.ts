import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { FetchHttpCaller } from './fetch-http-caller.ts';

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
const caller = new FetchHttpCaller();

test('posts JSON and gives back whatever was answered', async () => {
  await using server = await serve((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => response.writeHead(418).end(`${request.method} ${request.headers['content-type']} ${text}`));
  });
  expect(await caller.post(`${server.url}/a`, { b: 1 }, 5_000)).toEqual({ status: 418, text: 'POST application/json {"b":1}' });
});

test('a flood is cut, and a redirect is an answer', async () => {
  await using server = await serve((_, response) => response.writeHead(307, { location: '/b' }).end('x'.repeat(100_000)));
  const { status, text } = await caller.post(server.url, {}, 5_000);
  expect([status, text.length]).toEqual([307, 4_096]);
});

test('no answer in time and nobody there are told apart', async () => {
  const server = await serve(() => undefined);
  await expect(caller.post(server.url, {}, 50)).rejects.toMatchObject({ code: 'timeout' });
  const gone = server.url;
  await server[Symbol.asyncDispose]();
  await expect(caller.post(gone, {}, 5_000)).rejects.toMatchObject({ code: 'no-responders' });
});
