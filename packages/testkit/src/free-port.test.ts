import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from './free-port.ts';

test('each port is another one, and none is of those that outgoing connections are given', async () => {
  const ports: number[] = [];
  for (let n = 0; n < 200; n++) ports.push(await freePort());
  expect(new Set(ports).size).toBe(200);
  expect(Math.min(...ports)).toBeGreaterThan(1024);
  expect(Math.max(...ports)).toBeLessThan(32_768);
});

test('one that somebody listens on is passed over', async () => {
  const taken = (await freePort()) + 1;
  await using server = createServer();
  server.listen(taken, '127.0.0.1');
  // Where it is refused, it is somebody else's.
  await once(server, 'listening').catch(() => undefined);
  expect(await freePort()).not.toBe(taken);
});
