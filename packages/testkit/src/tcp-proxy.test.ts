import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

let resources: AsyncDisposableStack;
let proxy: TcpProxy;
/** What the port received, on all connections. */
let heard: string;

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  heard = '';
  const peers = new Set<Socket>();
  const server = createServer((peer) => {
    peers.add(peer);
    peer.on('error', () => undefined);
    peer.on('data', (data) => {
      heard += String(data);
      peer.write(`<${String(data)}>`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  resources.defer(() => {
    for (const peer of peers) peer.destroy();
    server.close();
  });
  proxy = resources.use(await startTcpProxy((server.address() as AddressInfo).port));
});
afterEach(() => resources.disposeAsync());

interface Caller {
  readonly socket: Socket;
  received: string;
  isClosed: boolean;
}

function dial(): Caller {
  const socket = connect(proxy.port, '127.0.0.1');
  const caller: Caller = { socket, received: '', isClosed: false };
  socket.on('data', (data) => {
    caller.received += String(data);
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    caller.isClosed = true;
  });
  resources.defer(() => void socket.destroy());
  return caller;
}

test('carries both ways, and the end of one side to the other', async () => {
  const caller = dial();
  caller.socket.end('all');
  await eventually(() => expect(caller).toMatchObject({ received: '<all>', isClosed: true }));
});

test('a cut ends what is there and what comes, and mending takes anew', async () => {
  const caller = dial();
  caller.socket.write('one');
  await eventually(() => caller.received === '<one>');
  proxy.cut();
  await eventually(() => caller.isClosed);
  const late = dial();
  late.socket.write('lost');
  await eventually(() => late.isClosed);
  proxy.mend();
  const next = dial();
  next.socket.write('two');
  await eventually(() => next.received === '<two>');
  expect(heard).toBe('onetwo');
});

test.each([
  ['out', { heard: 'x', received: '<x>' }],
  ['in', { heard: 'xyz', received: '<x>' }],
] as const)('what is held %s waits, in order, while the other way is open', async (direction, meanwhile) => {
  const caller = dial();
  caller.socket.write('x');
  await eventually(() => caller.received === '<x>');
  proxy.hold(direction);
  caller.socket.write('y');
  caller.socket.write('z');
  // A connection of its own through the open way shows that the bytes before had time to arrive.
  const other = dial();
  await eventually(() => other.socket.readyState === 'open');
  if (direction === 'in') await eventually(() => heard === meanwhile.heard);
  expect({ heard, received: caller.received }).toEqual(meanwhile);
  proxy.mend();
  await eventually(() => expect([heard, caller.received.replaceAll('><', '')]).toEqual(['xyz', '<xyz>']));
});

test('a delay makes everything late by as much, and keeps the order', async () => {
  const caller = dial();
  await eventually(() => caller.socket.readyState === 'open');
  proxy.delay(60);
  const sentMs = performance.now();
  for (const word of ['a', 'b', 'c']) caller.socket.write(word);
  await eventually(() => caller.received.replaceAll('><', '') === '<abc>');
  expect(performance.now() - sentMs).toBeGreaterThanOrEqual(119);
  proxy.mend();
});

test('a large message through a slow reader arrives whole', async () => {
  const caller = dial();
  const text = 'x'.repeat(9 * 1024 * 1024);
  proxy.hold('in');
  caller.socket.write(text);
  await eventually(() => heard.length > 0);
  proxy.mend();
  await eventually(() => caller.received.replaceAll(/[<>]/g, '').length === text.length, { timeoutMs: 60_000 });
});
