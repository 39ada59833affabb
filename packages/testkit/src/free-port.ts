import { once } from 'node:events';
import { createServer } from 'node:net';
import { SystemRandom } from '@muster/ports';

/** Below those that outgoing connections are given: from 32768 on Linux, from 49152 elsewhere. */
const FIRST = 20_000;
const COUNT = 10_000;
let next = Math.floor(new SystemRandom().next() * COUNT);

/**
 * A TCP port of 127.0.0.1 that nobody has now; not the same twice in one process. No outgoing connection is ever given one
 * of these, so a server that is away for a while finds it free when it comes back.
 * @throws Error where all are taken
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = FIRST + (next++ % COUNT);
    if (await isFree(port)) return port;
  }
  throw new Error(`none of the ports ${FIRST} to ${FIRST + COUNT - 1} is free`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
