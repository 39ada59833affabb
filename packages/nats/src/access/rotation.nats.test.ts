// A secret is rotated in two steps on a running server, with every way to prove who one is: nobody is cut off before the old
// one is retired, and whoever has the new file by then comes back by itself.
import { renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SystemClock, SystemRandom, silentLogger } from '@muster/ports';
import { isMusterError } from '@muster/protocol';
import { eventually, natsServerBinaries, startNatsServer, type TestNatsServer, tempDir } from '@muster/testkit';
import { describe, expect, it } from 'vitest';
import { connectNats, type NatsConnected } from '../connect-nats.ts';
import { isAtLeast } from '../server-version.ts';
import { ACCESS_KINDS, type AccessBook, newAccessBook, withRetired, withRotated } from './access-book.ts';
import { makeAccessFiles } from './access-files.ts';
import { openWorkerCredentials } from './worker-credentials.ts';

const tools = { clock: new SystemClock(), random: new SystemRandom(), logger: silentLogger };
const matrix = natsServerBinaries().flatMap(({ path, version }) => ACCESS_KINDS.map((kind) => ({ path, version, kind })));

async function enter(server: TestNatsServer, contents: string): Promise<NatsConnected> {
  return connectNats({ servers: [server.url], name: 'test', ...tools, credentials: { kind: 'creds', contents } });
}

/**
 * A connection that comes while the server reads its configuration again may be left without an answer, and one that stands
 * still for longer than the server waits for its credentials is refused.
 */
const RELOAD = { timeoutMs: 60_000 } as const;

/** Whether these credentials are taken. @throws where the server does not say */
async function isTaken(server: TestNatsServer, contents: string): Promise<boolean> {
  try {
    await (await enter(server, contents)).close();
    return true;
  } catch (error) {
    if (isMusterError(error, 'unauthorized')) return false;
    throw error;
  }
}

/** A server whose part of the book is in a file of its own, as docs/guide/security.md has it. */
async function world(binary: string, book: AccessBook) {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await tempDir()).path;
  const install = async (now: AccessBook) => {
    const { server: conf, credentials, book: kept } = await makeAccessFiles(now);
    writeFileSync(join(folder, 'access.conf'), conf);
    return { credentials, kept };
  };
  const first = await install(book);
  // From where the server's own file is, beside this folder.
  const config = `include ${JSON.stringify(`../${basename(folder)}/access.conf`)}`;
  const server = resources.use(await startNatsServer({ binary, config }));
  const reload = async (now: AccessBook) => {
    const installed = await install(now);
    process.kill(server.pid ?? 0, 'SIGHUP');
    return installed;
  };
  const held = resources.move();
  return { folder, server, first, reload, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

describe.each(matrix)('$kind on nats-server $version', ({ path, version, kind }) => {
  it('goes on through a rotation, and takes up the new file when the old secret is retired', async () => {
    await using at = await world(path, newAccessBook('demo', kind, [{ role: 'client' }, { role: 'worker' }]));
    const { server, first } = at;
    const old = first.credentials.get('client') ?? '';
    const file = join(at.folder, 'client.creds');
    writeFileSync(file, old);
    const nats = await connectNats({ servers: [server.url], name: 'test', ...tools, credentials: { kind: 'file', path: file } });
    await using _ = { [Symbol.asyncDispose]: () => nats.close() };
    let losses = 0;
    nats.bus.onStatus((status) => void (losses += status === 'disconnected' ? 1 : 0));

    const rotated = withRotated(first.kept, ['client']);
    const fresh = (await at.reload(rotated)).credentials.get('client') ?? '';
    await eventually(() => isTaken(server, fresh), RELOAD);
    await eventually(() => isTaken(server, old), RELOAD);
    expect(() => withRotated(rotated, ['client'])).toThrow('retire it first');
    // An old server puts everybody out whose account has changed in anything, and takes them in again.
    expect(losses).toBeLessThanOrEqual(kind === 'jwt' && !isAtLeast(version, '2.10.0') ? 1 : 0);
    writeFileSync(`${file}.new`, fresh);
    renameSync(`${file}.new`, file);

    await at.reload(withRetired(rotated, Date.now()));
    await eventually(async () => !(await isTaken(server, old)), RELOAD);
    // Whoever had entered with it is put out, and has the new one.
    await eventually(() => losses > 0 && nats.bus.isConnected);
    await eventually(() => nats.bus.flush().then(() => true), RELOAD);
    await eventually(() => isTaken(server, fresh), RELOAD);
  });

  it('what signs workers is rotated too: those that run go on until it is retired', async () => {
    await using at = await world(path, newAccessBook('demo', kind, [{ role: 'worker' }]));
    const { server, first } = at;
    const sign = (text: ReadonlyMap<string, string>) => openWorkerCredentials(text.get('worker') ?? '');
    const old = await sign(first.credentials)('one');
    const running = await enter(server, old);
    await using _ = { [Symbol.asyncDispose]: () => running.close() };
    const rotated = withRotated(first.kept, ['worker']);
    const fresh = await sign((await at.reload(rotated)).credentials)('two');
    await eventually(() => isTaken(server, fresh), RELOAD);
    await eventually(() => isTaken(server, old), RELOAD);
    await eventually(() => running.bus.flush().then(() => true), RELOAD);

    await at.reload(withRetired(rotated, Date.now()));
    await eventually(async () => !(await isTaken(server, old)), RELOAD);
    await eventually(() => !running.bus.isConnected);
    await eventually(() => isTaken(server, fresh), RELOAD);
  });
});
